"""Gallery of an installation: create or open it, and store policy, limit of attempts and pinned networks in it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edge_sdk.door.folder import give_to_owner, sync
from edge_sdk.door.named import anchor_named
from edge_sdk.door.other_network import ways_to_another_network
from edge_sdk.errors import GalleryError, InputError, ModelCardError, ModelMismatchError, RollbackError
from edge_sdk.gallery import AttemptPolicy, DecisionPolicy, Gallery, KeyFile, KeyProvider, PinnedNetworks
from edge_sdk.gallery.rules.in_words import attempts_in_words, rejections_in_words, strangers_in_words
from edge_sdk.kit.bundle import KitFile
from edge_sdk.kit.manifest import KitManifest
from edge_sdk.model.model_file import ModelFile
from edge_sdk.recognizer.enrolment import LEAST_TEMPLATES, MOST_TEMPLATES


@dataclass(frozen=True)
class DoorRules:
    """Rules that a gallery gets from a kit.

    Args:
        policy: Decision policy to store; None to store none.
        limit: Limit of attempts to store; None to store none.
        evidence: Digest of the evidence to store; None if it is stored already.
        networks: Networks to pin; None if they are pinned already, or if there are none.
    """

    policy: DecisionPolicy | None = None
    limit: AttemptPolicy | None = None
    evidence: bytes | None = None
    networks: PinnedNetworks | None = None

    def changes(self) -> tuple[str, ...]:
        """Describe what is stored."""
        return tuple(
            words
            for value, words in (
                (
                    self.policy,
                    "decision policy"
                    if self.policy is None
                    else f"decision policy, FPIR {self.policy.fpir:g}",
                ),
                (self.limit, "limit of attempts"),
                (self.evidence, "evidence of the model"),
                (self.networks, "digests of detector and liveness networks"),
            )
            if value is not None
        )

    def store(self, gallery: Gallery) -> None:
        """Store the rules in one commit, so that no power cut leaves a part of them.

        Raises:
            GalleryError: The commit failed.
        """
        with gallery.transaction() as transaction:
            if self.policy is not None:
                transaction.set_policy(self.policy)
            if self.evidence is not None:
                transaction.pin_evidence(self.evidence)
            if self.networks is not None:
                transaction.pin_networks(self.networks)
            if self.limit is not None:
                transaction.limit_attempts(self.limit)


def rules_for(
    gallery: Gallery | None,
    model: ModelFile,
    manifest: KitManifest,
    *,
    door: bool,
    fpir: float | None,
    networks: PinnedNetworks | None,
) -> DoorRules:
    """Return the rules that a gallery lacks; those that an administrator has stored are kept.

    Args:
        gallery: The gallery; None if it is going to be created.
        model: The kit's embedder.
        manifest: Contents of the kit.
        door: True if the gallery must have what a door lock needs.
        fpir: Rate that a person chose; None for the stored policy's, or else the kit's.
        networks: The kit's detector and liveness networks; None if it has none. A new gallery is created with them.

    Raises:
        ModelCardError: The kit's evidence does not support a decision policy for the rate and the enrolled templates.
        InputError: The rate is out of range.
    """
    evidence = model.model_id.evidence
    renewed = gallery is not None and not _has_evidence(gallery, evidence)
    stored = None if gallery is None else gallery.policy
    policy = None
    if (door and stored is None) or (stored is not None and (renewed or fpir not in (None, stored.fpir))):
        templates = 0 if gallery is None else gallery.status().templates
        policy = _policy(model, manifest, stored, fpir, templates)
    current = None if gallery is None else gallery.attempts.status()
    has_pad = bool(manifest.liveness)
    limit = None
    if door and current is None:
        limit = AttemptPolicy.with_pad() if has_pad else AttemptPolicy()
    elif current is not None and not has_pad:
        with_pad = AttemptPolicy.with_pad()
        if (current.free, current.most, current.wait_s) == (with_pad.free, with_pad.most, with_pad.wait_s):
            limit = AttemptPolicy()
    pinned = None if gallery is None else gallery.networks
    return DoorRules(
        policy=policy,
        limit=limit,
        evidence=evidence if renewed else None,
        networks=None if gallery is None or _pins(pinned, networks) else networks,
    )


def _has_evidence(gallery: Gallery, evidence: bytes) -> bool:
    try:
        gallery.require_evidence(evidence)
    except ModelCardError:
        return False
    return True


def _pins(pinned: PinnedNetworks | None, networks: PinnedNetworks | None) -> bool:
    """Tell if the networks are pinned already; an administrator may have raised the liveness threshold."""
    if networks is None or pinned is None:
        return networks is None
    return (pinned.detector, pinned.liveness) == (networks.detector, networks.liveness)


def _policy(
    model: ModelFile, manifest: KitManifest, stored: DecisionPolicy | None, fpir: float | None, templates: int
) -> DecisionPolicy:
    rate = fpir if fpir is not None else stored.fpir if stored is not None else manifest.fpir
    measure = (
        "measure the network on labelled images (edge-convert evaluate --write-card) and build the kit again"
    )
    if rate is None or not model.card.operating_points:
        raise ModelCardError(
            f"the evidence of kit {manifest.name} supports no decision policy, which a door needs",
            hint=measure if not model.card.operating_points else f"choose a rate with --fpir, or {measure}",
        )
    if stored is None:
        policy = DecisionPolicy(
            model.card.operating_points, fpir=rate, non_mated_scores=model.card.non_mated_scores
        )
    else:
        policy = replace(
            stored,
            operating_points=model.card.operating_points,
            fpir=rate,
            non_mated_scores=model.card.non_mated_scores,
            adapts=stored.adapts and model.card.non_mated_scores is not None,
        )
    needed = max(templates, LEAST_TEMPLATES)
    most = policy.most_references()
    if most < needed:
        raise ModelCardError(
            f"at FPIR {rate:g} the evidence of kit {manifest.name} suffices for {most} templates, expected {needed} or more",
            hint=f"choose a higher rate with --fpir, or {measure}",
        )
    policy.consistent_threshold()
    return policy


@contextlib.contextmanager
def key_for(path: Path | None, key: KeyProvider | None) -> Iterator[KeyProvider]:
    """Return the key for a new gallery; a key file that was created is removed if the block fails.

    Args:
        path: Path of the key file; None if the key is no file.
        key: The key if it is no file.
    """
    if path is None:
        if key is None:
            raise InputError("expected a key, found none")
        yield key
        return
    with contextlib.ExitStack() as undo:
        if not path.exists():
            # Created under another name, so that an interruption leaves no incomplete key.
            new = path.with_name(f"{path.name}.new")
            new.unlink(missing_ok=True)
            undo.callback(path.unlink, missing_ok=True)
            KeyFile.create(new)
            give_to_owner(new)
            new.rename(path)
            sync(path.parent)
        yield KeyFile(path)
        undo.pop_all()


def open_existing(
    path: Path, key: KeyProvider, anchor_word: str | None, *, default: str
) -> tuple[Gallery, str | None]:
    """Open a gallery to set it up.

    Args:
        path: Path of the gallery.
        key: A key that opens it.
        anchor_word: Its anchor; None if it is not known.
        default: Path of the anchor file that setup uses. It is tried if the gallery is anchored in a file and no anchor is
            known: an interrupted creation may have ended before the file was written.

    Returns:
        The gallery and its anchor; None for a gallery without one.

    Raises:
        GalleryError: It cannot be opened, or it has an anchor that was not named.
    """
    gallery = Gallery.open(path, key=key, needs_model=False, anchor=anchor_named(anchor_word))
    if not gallery.keys.missing_anchor:
        return gallery, anchor_word
    with contextlib.suppress(RollbackError):
        return Gallery.open(path, key=key, needs_model=False, anchor=anchor_named(default)), default
    raise GalleryError(
        f"{path} is anchored in {gallery.keys.missing_anchor}, and no anchor was named",
        hint="name its anchor with --anchor",
    )


def holds_model(gallery: Gallery, model: ModelFile, kit: KitFile, *, options: str = "") -> bool:
    """Tell if a gallery's templates are of the kit's embedding space; False for an empty gallery of another space.

    Args:
        gallery: The gallery.
        model: The kit's embedder.
        kit: The kit.
        options: Options of the command line that select the installation, for the hint.

    Raises:
        ModelMismatchError: People are enrolled, and their templates are of another embedding space.
    """
    try:
        gallery.require_model(model.model_id)
    except ModelMismatchError as error:
        subjects = len(gallery.subjects())
        if not subjects:
            return False
        raise ModelMismatchError(
            f"kit {kit.manifest.name} has another network than the gallery: {error}; enrolled: {subjects}",
            hint=ways_to_another_network(gallery, kit.path, options=options),
        ) from error
    return True


def set_aside(gallery: Path, anchor: Path | None, key: Path | None, *, folder: Path) -> Path | None:
    """Move the files of an empty or incomplete gallery into a new folder; nothing is deleted.

    Its key goes with it if it is a file of the folder that notes a gallery at this path: another gallery would be refused
    there. The order of the moves lets the next call continue an interrupted one.

    Returns:
        The folder; None if there was nothing to move.
    """
    prefix = gallery.name + "."
    others = sorted(
        path for path in gallery.parent.iterdir() if path.name.startswith(prefix) and path.suffix != ".lock"
    )
    files = [path for path in [*others, gallery, *([] if anchor is None else [anchor])] if path.exists()]
    if key is not None and key.parent == folder and key.exists():
        files += [key] if os.path.realpath(gallery) in KeyFile(key).galleries() else []
    if not files:
        return None
    place = _unused(folder)
    place.mkdir(mode=0o700)
    give_to_owner(place)
    for path in files:
        path.rename(place / path.name)
    return place


def _unused(folder: Path) -> Path:
    day = time.strftime("%Y-%m-%d", time.gmtime())
    names = (f"earlier-{day}" + (f"-{number}" if number else "") for number in range(1000))
    return next(folder / name for name in names if not (folder / name).exists())


def limits_in_words(gallery: Gallery, model: ModelFile) -> tuple[str, ...]:
    """State in people and presses what the gallery's policy and limit of attempts mean."""
    lines = []
    policy, attempts = gallery.policy, gallery.attempts.status()
    if policy is not None:
        claimed = all(point.fmr_confidence is not None for point in model.card.operating_points)
        lines.append(strangers_in_words(policy.fpir, claimed=claimed))
        most = policy.most_references()
        lines.append(
            f"the evidence suffices for {most:,} templates: {most // MOST_TEMPLATES:,} people with {MOST_TEMPLATES}"
            " pictures each"
        )
        people = [count for count in (1, 4, 10, 20, 50, 100) if count * MOST_TEMPLATES <= most]
        if people:
            rates = [(count, policy.point(count * MOST_TEMPLATES).fnmr) for count in people[:4]]
            lines.append(rejections_in_words(_changed(rates)))
    if attempts is not None:
        lines.append(attempts_in_words(attempts.free, attempts.most, attempts.wait_s))
    return tuple(lines)


def _changed(rates: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """Return the rates that differ from the one before."""
    return [item for index, item in enumerate(rates) if not index or item[1] != rates[index - 1][1]]
