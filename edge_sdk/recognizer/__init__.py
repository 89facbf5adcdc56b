"""Recognition of people in camera frames: `Recognizer` joins camera, vision and gallery."""

from edge_sdk.recognizer.recognizer import Recognizer
from edge_sdk.recognizer.results import Enrolment, Recognition, RefusedFrame

__all__ = ["Enrolment", "Recognition", "Recognizer", "RefusedFrame"]
