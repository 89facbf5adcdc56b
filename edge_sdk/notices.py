"""Warning categories of the SDK, to be filtered with the module `warnings`."""


class GalleryWarning(UserWarning):
    """A gallery works, but a protection is missing or does not work as intended."""
