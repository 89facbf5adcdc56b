"""Errors of this package; all are subclasses of the SDK's ``EdgeSdkError``."""

from __future__ import annotations

from edge_sdk.errors import EdgeSdkError


class ConversionError(EdgeSdkError):
    """A model could not be converted; nothing was written."""


class OptionsError(ConversionError, ValueError):
    """An option is out of range, or options contradict each other."""


class SourceError(ConversionError):
    """The source file is missing, damaged, of an unknown kind or not an embedding network."""


class CalibrationError(ConversionError, ValueError):
    """The calibration images cannot be used."""


class TargetError(ConversionError):
    """The target cannot run the network."""


class GateError(ConversionError):
    """An artefact failed a gate; nothing was written, and the command exits with 1."""


class AccuracyGateError(GateError):
    """An artefact is less accurate or slower than required; the command exits with 1."""


class ContractRefusedError(GateError):
    """The input contract contradicts the network, or another one is clearly better; the command exits with 1."""
