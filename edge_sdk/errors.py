"""Every error the SDK raises on purpose, in one tree.

A message says what was expected, what was found and what to do. A negative answer (no match, a
rejected probe) is a result and never an exception.
"""

from __future__ import annotations


class EdgeSdkError(Exception):
    """Root of the tree; the command lines turn it into one line and exit code 3.

    Args:
        message: What was expected and what was found; no capital, no full stop.
        hint: What to do about it, where that is known.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class ModelError(EdgeSdkError):
    """The model file cannot be used."""


class ModelCardError(ModelError, ValueError):
    """The model card is missing, malformed or contradicts itself."""


class ModelContractError(ModelError, ValueError):
    """The graph is not what the card or the caller says it is."""


class BackendUnavailableError(ModelError, ImportError):
    """No interpreter can be loaded on this machine."""


class InputError(EdgeSdkError, ValueError):
    """The caller's array or file has the wrong shape, dtype, range or form."""


class CaptureError(InputError):
    """One of several captures is not like the others; `capture` is its index, from 0."""

    def __init__(self, message: str, *, capture: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.capture = capture


class AcquisitionError(EdgeSdkError):
    """A sample could not be taken; counted as a failure to acquire (ISO/IEC 19795-1)."""

    def __init__(self, message: str, *, reason: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class GalleryError(EdgeSdkError):
    """The gallery cannot be read or changed; the door stays shut."""


class GalleryChangedError(GalleryError):
    """Another process committed first; nothing was written, refresh and repeat."""


class GalleryFormatError(GalleryError, ValueError):
    """The file is not a gallery of a known version, or is cut short."""


class SealError(GalleryError):
    """Wrong key or altered file; which of the two is not told apart on purpose."""


class RollbackError(GalleryError):
    """The gallery is older than its anchor: an old copy was put back."""


class ModelMismatchError(GalleryError):
    """The gallery's templates were made by another model."""


class CommandRefusedError(GalleryError):
    """A command is not obeyed: not signed by a known source, for another gallery, or obeyed already."""


class SubjectExistsError(GalleryError, ValueError):
    """The subject is enrolled already."""


class SubjectUnknownError(GalleryError, LookupError):
    """No such subject is enrolled."""
