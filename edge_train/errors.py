"""Errors of training; all are subclasses of the SDK's ``EdgeSdkError``."""

from __future__ import annotations

from edge_sdk.errors import EdgeSdkError


class TrainingError(EdgeSdkError):
    """Training cannot start or continue; files of an earlier run are unchanged."""


class PlanError(TrainingError, ValueError):
    """A setting is out of range, or settings contradict each other."""


class FolderError(TrainingError, ValueError):
    """The pictures cannot be used for training; the report names each problem."""


class CollapseError(TrainingError):
    """The network gives every image nearly the same embedding, so that no loss can separate them any more."""
