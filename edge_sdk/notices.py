"""Warning categories of the SDK, to be filtered with the module `warnings`."""


class GalleryWarning(UserWarning):
    """A gallery works, but a protection is missing or does not work as intended.

    Args:
        message: What is missing or wrong.
        hint: What to do about it; part of the warning's text.

    Attributes:
        message: As given.
        hint: As given; None if that is not known.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message if hint is None else f"{message}; {hint}")
        self.message = message
        self.hint = hint
