"""The whole road: check the pictures, split them by subject, train, convert, measure, and write the page."""

from edge_train.run.request import PlanSource, TrainingRequest
from edge_train.run.result import RunResult
from edge_train.run.road import run

__all__ = ["PlanSource", "RunResult", "TrainingRequest", "run"]
