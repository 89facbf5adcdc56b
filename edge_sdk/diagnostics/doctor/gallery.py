"""A gallery: whether it opens, how strong its key is, whether an old copy would be noticed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from edge_sdk.diagnostics.doctor.finding import Finding, fail, ok, warn
from edge_sdk.errors import EdgeSdkError
from edge_sdk.gallery import Gallery

_WEAK_LEVEL = 0


def check_gallery(opened: Callable[[], Gallery], *, model_sha256: str | None) -> Iterator[Finding]:
    """Open the gallery and read its status.

    Args:
        opened: Opens it.
        model_sha256: Of the model that will ask it, None where none was given.
    """
    try:
        status = opened().status()
    except EdgeSdkError as error:
        yield fail("gallery", str(error), error.hint or "nothing opens with it; restore it or enrol again")
        return
    yield ok(
        "gallery",
        f"subjects: {status.subjects}, templates: {status.templates}, generation {status.generation}",
    )
    if model_sha256 is not None and model_sha256 != status.model_id:
        yield fail(
            "gallery's model",
            f"it was made by the model file {status.model_id[:12]}..., not by {model_sha256[:12]}...",
            "give the model file it was made with, or enrol again",
        )
    if status.key_level <= _WEAK_LEVEL:
        yield warn(
            "gallery's key",
            f"level {status.key_level} ({status.key_name})",
            "a stolen disk opens: use a passphrase, or keep the key off the gallery's disk",
        )
    else:
        yield ok("gallery's key", f"level {status.key_level} ({status.key_name})")
    if status.anchor.startswith("none"):
        yield warn("gallery's anchor", status.anchor, "note the newest generation elsewhere: --anchor FILE")
    else:
        yield ok("gallery's anchor", status.anchor)
