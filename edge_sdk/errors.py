"""Exceptions of the SDK, in one tree.

A message states what was expected and what was found; the hint says what to do. A negative answer (no match, a
rejected probe) is a result, never an exception.
"""

from __future__ import annotations


class EdgeSdkError(Exception):
    """Base class of all errors of the SDK; the command lines print it in one line and exit with code 3.

    Args:
        message: What was expected and what was found; no capital at the start, no full stop.
        hint: What to do about it; None if that is not known.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class PluginError(EdgeSdkError):
    """A plug-in from another distribution cannot be used."""


class ModelError(EdgeSdkError):
    """The model file cannot be used."""


class ModelCardError(ModelError, ValueError):
    """The model card is missing, malformed or contradicts itself."""


class ModelContractError(ModelError, ValueError):
    """The network does not match its card or the properties that the caller stated."""


class BackendUnavailableError(ModelError, ImportError):
    """No interpreter can be loaded on this machine."""


class InputError(EdgeSdkError, ValueError):
    """The caller's array or file has the wrong shape, dtype, range or format."""


class CaptureError(InputError):
    """One of several captures does not match the others; `capture` is its index, from 0."""

    def __init__(self, message: str, *, capture: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.capture = capture


class AcquisitionError(EdgeSdkError):
    """No sample could be acquired; counted as a failure to acquire (ISO/IEC 19795-1)."""

    def __init__(self, message: str, *, reason: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class GalleryError(EdgeSdkError):
    """The gallery cannot be read or changed; a door controlled by it stays locked."""


class GalleryChangedError(GalleryError):
    """Another process committed first and nothing was written; refresh and repeat the change."""


class ChangeCommittedError(GalleryError):
    """The change is committed, but a step after the commit failed; the message names the step. Do not repeat the change."""


class GalleryFormatError(GalleryError, ValueError):
    """The file is not a gallery of a known version, or is truncated."""


class SealError(GalleryError):
    """The key is wrong or the file was altered; the error does not reveal which of the two."""


class RollbackError(GalleryError):
    """The gallery is older than its anchor: an old copy was restored."""


class ModelMismatchError(GalleryError):
    """The gallery's templates come from another model."""


class CommandRefusedError(GalleryError):
    """The command is altered, from an unknown source, for another gallery, or not newer than the last one."""


class SubjectExistsError(GalleryError, ValueError):
    """The subject is enrolled already."""


class SubjectUnknownError(GalleryError, LookupError):
    """The subject is not enrolled."""
