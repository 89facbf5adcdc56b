"""Errors of the workstation side; they hang on the SDK's one tree."""

from __future__ import annotations

from edge_sdk.errors import EdgeSdkError


class ConversionError(EdgeSdkError):
    """A model could not be converted; nothing was written."""


class SourceError(ConversionError):
    """The source file is missing, damaged, foreign or not an embedding network."""


class CalibrationError(ConversionError, ValueError):
    """The calibration images cannot be used."""


class TargetError(ConversionError):
    """The target cannot run the network."""


class GateError(ConversionError):
    """An artefact was made and is not whole; nothing was written; the command line exits with 1."""


class AccuracyGateError(GateError):
    """The artefact is finished and not good enough; the command lines exit with 1."""
