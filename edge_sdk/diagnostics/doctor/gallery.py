"""Checks of a gallery: that it opens, that its key is strong, and that a restored old copy would be detected."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from edge_sdk.diagnostics.doctor.check_result import CheckResult, fail, ok, warn
from edge_sdk.diagnostics.doctor.installation import check_pinned
from edge_sdk.door.installation import Installation
from edge_sdk.errors import EdgeSdkError, ModelCardError, ModelMismatchError
from edge_sdk.gallery import Gallery, GalleryStatus
from edge_sdk.gallery.mixed_subjects import MIXED_ADVICE, mixed_in_words
from edge_sdk.gallery.rules.raised_threshold import TOO_HIGH_ADVICE
from edge_sdk.gallery.rules.transfer_words import ADVICE
from edge_sdk.model.model_id import ModelId

_WEAK_LEVEL = 0
_SET_UP_NEW = (
    "install the kit of the new network: edge-sdk setup NEW.edgekit, or return to the earlier one with edge-sdk gallery"
    " migrate --undo"
)


def check_gallery(
    open_gallery: Callable[[], Gallery],
    *,
    model_id: ModelId | None,
    installation: Installation | None = None,
) -> Iterator[CheckResult]:
    """Check that a gallery opens, and check its model, key and anchor.

    Args:
        open_gallery: Opens the gallery.
        model_id: Id of the model to be used with it; None skips the comparison.
        installation: Installation whose networks are used with it; None skips the comparison.
    """
    try:
        gallery = open_gallery()
        status, slots = gallery.status(), gallery.keys.slots()
    except EdgeSdkError as error:
        yield fail("gallery", str(error), error.hint or "it cannot be used; restore a backup or enrol again")
        return
    yield ok(
        "gallery",
        f"subjects: {status.subjects}, templates: {status.templates}, generation {status.generation}",
    )
    pending = gallery.migration.pending()
    if pending is not None:
        yield warn(
            "gallery's change of model",
            f"changed from model {pending.model_id[:8]} by {pending.method}; not confirmed",
            "try the door with some people, then edge-sdk gallery migrate --confirm, or --undo",
        )
    if model_id is None:
        yield warn("gallery's model", "not compared with a model", "give --model FILE as well")
    else:
        try:
            gallery.require_model(model_id)
        except ModelMismatchError as error:
            hint = _SET_UP_NEW if pending is not None and installation is not None else error.hint
            yield fail("gallery's model", str(error), hint or "use the gallery's model, or enrol again")
        else:
            yield _check_evidence(gallery, model_id, status.model_kind)
    if status.has_policy:
        yield _check_thresholds(status)
    if status.mixed_subjects:
        yield fail("gallery's subjects", mixed_in_words(status.mixed_subjects), MIXED_ADVICE)
    if status.networks is None:
        yield warn(
            "gallery's networks",
            "a replaced face detector or liveness network would not be noticed",
            "if this device finds faces, store its networks with edge-sdk gallery pin-networks",
        )
    else:
        yield ok("gallery's networks", status.networks)
    if installation is not None:
        yield from check_pinned(installation, gallery)
    if status.clock_behind_s:
        yield fail(
            "gallery's clock",
            f"this device's clock is {status.clock}",
            "set the clock and start the program again",
        )
    else:
        yield ok("gallery's clock", status.clock)
    if status.key_weakness is not None:
        yield warn(
            "gallery's key",
            f"level {status.key_level} ({status.key_name}): {status.key_weakness}",
            "replace it with edge-sdk gallery rotate-key --to passphrase",
        )
    elif status.key_level <= _WEAK_LEVEL:
        yield warn(
            "gallery's key",
            f"level {status.key_level} ({status.key_name})",
            "anyone who steals the disk can open it: use a passphrase, or keep the key off the gallery's disk",
        )
    elif weaker := [s for s in slots if s.levels and s.levels[0] < status.key_level]:
        kind = "a weaker key" if weaker[0].levels[-1] < status.key_level else "a key that may be weaker"
        yield warn(
            "gallery's key",
            f"level {status.key_level} ({status.key_name}), but {kind} also opens it: {weaker[0].name}, level {weaker[0].level_words}",
            "edge-sdk gallery keys lists them; remove it with edge-sdk gallery remove-key or rotate-key",
        )
    else:
        yield ok("gallery's key", f"level {status.key_level} ({status.key_name})")
    if status.anchor.startswith("not given"):
        yield fail("gallery's anchor", status.anchor, "give the anchor: --anchor")
    elif status.anchor.startswith("none"):
        yield warn("gallery's anchor", status.anchor, "store the newest generation elsewhere: --anchor FILE")
    else:
        yield ok("gallery's anchor", status.anchor)


def _check_thresholds(status: GalleryStatus) -> CheckResult:
    """Check that the policy's thresholds hold for the gallery's own subjects."""
    name = "gallery's thresholds"
    if status.transfer.unprotected:
        return fail(name, status.own_scores, ADVICE)
    raised, own_scores = status.raised, status.own_scores
    if status.raised_threshold is not None:
        own_scores += f"; {status.raised_threshold}"
    if raised is not None and raised.too_high:
        return fail(name, own_scores, TOO_HIGH_ADVICE)
    if status.evidence_renewal is not None:
        message = f"operating points {status.evidence}; {own_scores}"
        return warn(name, message, f"renew them: {status.evidence_renewal}")
    if status.transfer.alarm:
        return warn(name, own_scores, f"if too many are rejected, {TOO_HIGH_ADVICE}")
    return ok(name, own_scores)


def _check_evidence(gallery: Gallery, model_id: ModelId, kind: str) -> CheckResult:
    try:
        gallery.require_evidence(model_id.evidence)
    except ModelCardError as error:
        return warn("gallery's model", str(error), str(error.hint))
    return ok("gallery's model", f"bound to its {kind}")
