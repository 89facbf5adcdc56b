"""Open the keys, anchors, galleries, models and cameras named by a command line. Secrets are never arguments."""

from __future__ import annotations

import argparse
import contextlib
import getpass
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_sdk import console
from edge_sdk.cli.arguments import PROGRAM
from edge_sdk.errors import ChangeCommittedError, InputError, ModelCardError
from edge_sdk.plugins import open_plugin

if TYPE_CHECKING:
    from edge_sdk.cameras import Camera
    from edge_sdk.gallery import Anchor, Gallery, KeyProvider, PinnedNetworks
    from edge_sdk.model.card import ModelCard
    from edge_sdk.vision.embedder import Embedder
    from edge_sdk.vision.faces import FaceDetector

_DETECTOR_PLUGINS = "edge_sdk.detectors"
_MAX_PASSPHRASE_BYTES = 4096


def resolve_key(word: str, *, created: list[Path] | None = None, prompt: str = "passphrase") -> KeyProvider:
    """Return the key that a word of the command line names.

    Args:
        word: A key file or a kind of key, as in `KEY_HELP`; or NAME:ARGUMENT of a plug-in in `edge_sdk.keys`.
        created: For a new key, see `new_keys`: ask for a passphrase twice, create a key file that does not exist and append
            its path to this list. None for a key that exists.
        prompt: Prompt for a passphrase.

    Raises:
        InputError: no passphrase could be read, the two passphrases differ, or an NV index is malformed.
        GalleryError: a new key file cannot be written.
    """
    from edge_sdk.door.named import key_named
    from edge_sdk.door.words import names_key_file
    from edge_sdk.gallery import KeyFile

    path = Path(word)
    if created is None or not names_key_file(word) or path.exists():
        return key_named(word, passphrase=lambda: read_passphrase(prompt, twice=created is not None))
    key = KeyFile.create(path)
    created.append(path)
    console.say(PROGRAM, f"made a key file {path}: store it on another disk than the gallery if you can")
    return key


@contextlib.contextmanager
def new_keys(
    gallery: Path, words: Sequence[str], *, prompt: str = "passphrase"
) -> Iterator[list[KeyProvider]]:
    """Return new keys for a change of a gallery; key files that do not exist are created.

    If the block raises an exception and the gallery's file is the same as before, or still missing, the change was not
    committed, and the created key files are removed. Otherwise they are kept, because the gallery may need them.

    Args:
        gallery: Path of the gallery.
        words: As in `resolve_key`, whose errors apply.
        prompt: Prompt for a passphrase.
    """
    created: list[Path] = []
    with contextlib.ExitStack() as undo:
        undo.callback(_remove_unused, created, gallery, _identity(gallery))
        try:
            yield [resolve_key(word, created=created, prompt=prompt) for word in words]
        except ChangeCommittedError:
            undo.pop_all()
            raise
        undo.pop_all()


def _remove_unused(created: Sequence[Path], gallery: Path, before: tuple[int, ...] | None) -> None:
    """Remove created key files if the gallery's file is known to be the same as before."""
    if before is None or _identity(gallery) != before:
        return
    for path in created:
        with contextlib.suppress(OSError):
            path.unlink()
            console.say(PROGRAM, f"removed the key file {path}, because the gallery does not use it")


def _identity(path: Path) -> tuple[int, ...] | None:
    """Return numbers that change if a file is replaced; empty if there is no file, None if this is not known."""
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def resolve_anchor(word: str | None) -> Anchor | None:
    """Return the anchor that --anchor names; None for no anchor."""
    from edge_sdk.door.named import anchor_named

    return anchor_named(word)


def camera_named(name: str, *, rotate: int = 0) -> Camera:
    """Return the camera that --camera names, not yet open; see `edge_sdk.cameras.camera_named`."""
    from edge_sdk import cameras

    return cameras.camera_named(name, rotate=rotate)


def resolve_detector(
    word: str,
    gallery: Gallery | None,
    *,
    smallest_face_px: float | None = None,
    threads: int | None = None,
) -> FaceDetector:
    """Open the detector that --detector names: a .tflite, or NAME:ARGUMENT of a plug-in in `edge_sdk.detectors`.

    Args:
        word: File or plug-in.
        gallery: The gallery, which may pin a detector; None to open any detector.
        smallest_face_px: Width of the smallest face to find; see `Detector`.
        threads: Threads of the detector's network; the device's default if None.

    Raises:
        InputError: the detector is a plug-in and `smallest_face_px` is given.
        ModelError: the file cannot be used, or is not the detector that the gallery pins.
    """
    from edge_sdk.recognizer.networks import open_detector
    from edge_sdk.vision.detector import Detector

    plugin: FaceDetector | None = open_plugin(_DETECTOR_PLUGINS, word)
    if plugin is None:
        if gallery is None:
            return Detector.open(word, smallest_face_px=smallest_face_px, threads=threads)
        return open_detector(word, gallery, smallest_face_px=smallest_face_px, threads=threads)
    if smallest_face_px is not None:
        raise InputError("expected a detector's .tflite with --smallest-face, found a plug-in")
    return plugin


def open_gallery(
    arguments: argparse.Namespace, model_id: bytes | None = None, *, anchored: bool = True
) -> Gallery:
    """Open the gallery that the arguments name; errors as `Gallery.open`."""
    from edge_sdk.gallery import Gallery

    gallery = Gallery.open(
        arguments.gallery,
        key=resolve_key(arguments.key),
        model_id=model_id,
        needs_model=False,
        anchor=resolve_anchor(arguments.anchor),
        anchored=anchored,
        gallery_id=arguments.gallery_id,
    )
    if gallery.keys.missing_anchor and anchored:
        console.say(
            PROGRAM,
            f"warning: the gallery is anchored in {gallery.keys.missing_anchor}, and --anchor is missing: "
            "it can be read, but an old copy is not noticed",
        )
    return gallery


def create_gallery(
    arguments: argparse.Namespace, *, model_id: bytes, dimension: int, **options: Any
) -> Gallery:
    """Create the gallery that the arguments name, and its key file if that does not exist.

    A new key file is removed if the gallery cannot be created. Errors as `Gallery.create`.
    """
    from edge_sdk.gallery import Gallery

    anchor = resolve_anchor(arguments.anchor)
    with new_keys(arguments.gallery, [arguments.key]) as (key,):
        gallery = Gallery.create(
            arguments.gallery, key=key, model_id=model_id, dimension=dimension, anchor=anchor, **options
        )
    status = gallery.status()
    if status.key_weakness is not None:
        console.say(PROGRAM, f"warning: {status.key_weakness}; it protects at level {status.key_level}")
    return gallery


def pinned_networks(
    arguments: argparse.Namespace, current: PinnedNetworks | None = None
) -> PinnedNetworks | None:
    """Return the networks to pin: those that --detector and --pad name, and otherwise the ones pinned now.

    Raises:
        ModelError: a file is not such a network.
    """
    from edge_sdk.gallery import PinnedNetworks
    from edge_sdk.vision.detector import Detector
    from edge_sdk.vision.liveness import MiniFasNet

    if arguments.detector is None and not arguments.pad:
        return current
    given = PinnedNetworks.of(
        None if arguments.detector is None else Detector.open(arguments.detector),
        MiniFasNet.open(*arguments.pad) if arguments.pad else None,
    )
    if current is None:
        return given
    liveness = given if given.liveness else current
    return PinnedNetworks(given.detector or current.detector, liveness.liveness, liveness.liveness_threshold)


def open_or_create_gallery(arguments: argparse.Namespace, embedder: Embedder) -> Gallery:
    """Open the gallery that the arguments name, or create it for the embedder's model if it is missing.

    The gallery of an installation is never created here: `edge-sdk setup` creates it with everything that belongs to it.
    """
    is_installed = "gallery" in arguments.taken
    if is_installed or arguments.gallery.exists() or arguments.gallery.is_symlink():
        return open_gallery(arguments, embedder.model_id)
    return create_gallery(arguments, model_id=embedder.model_id, dimension=embedder.dimension)


def open_embedder(arguments: argparse.Namespace) -> Embedder:
    """Open the embedder that the arguments name; warn on stderr if its delegate is not used."""
    from edge_sdk.runtime.backend_choice import BackendWarning
    from edge_sdk.vision.embedder import Embedder

    with warnings.catch_warnings():
        # The warnings are printed below in this program's form.
        warnings.simplefilter("ignore", BackendWarning)
        embedder = Embedder.open(
            arguments.model,
            sha256=arguments.model_sha256,
            threads=arguments.threads,
            delegate=arguments.delegate,
            backend=arguments.backend,
        )
    status = embedder.backend
    if status.fallback:
        console.say(PROGRAM, f"warning: {status.fallback}; the CPU runs the network in its place")
    if status.evidence:
        console.say(PROGRAM, f"warning: {status.evidence}")
    return embedder


def choose_threshold(arguments: argparse.Namespace, card: ModelCard, gallery: Gallery) -> float | None:
    """Return the threshold that --fmr, --threshold or --fpir selects.

    Returns:
        A cosine; None if none of the options is given and the gallery has a decision policy.

    Raises:
        ModelCardError: no option is given and the gallery has no policy, the card has no fitting operating point, or its
            evidence is not the one that the gallery has stored.
    """
    from edge_sdk.model.model_id import evidence_id
    from edge_sdk.model.operating_point import OperatingPoint

    points, fpir = card.operating_points, getattr(arguments, "fpir", None)
    if arguments.threshold is not None:
        return float(arguments.threshold)
    if fpir is not None:
        gallery.require_evidence(evidence_id(card))
        references = max(1, gallery.status().templates)
        return OperatingPoint.for_identification(points, fpir=fpir, references=references).threshold
    if arguments.fmr is None and gallery.policy is not None:
        return None
    if arguments.fmr is None and points:
        rates = ", ".join(f"{point.fmr:g}" for point in sorted(points, key=lambda point: point.fmr))
        raise ModelCardError(
            f"expected --threshold, or --fmr with one of {rates}, found neither",
            hint="choose a false match rate, or store a decision policy: edge-sdk gallery policy",
        )
    gallery.require_evidence(evidence_id(card))
    return OperatingPoint.for_comparison(points, fmr=arguments.fmr).threshold


@contextlib.contextmanager
def explained_threshold(arguments: argparse.Namespace) -> Iterator[None]:
    """If --fmr or --fpir selected a threshold below the policy's, state the option in the error.

    Raises:
        InputError: the threshold is below the policy's.
    """
    from edge_sdk.gallery.rules.policy import BelowPolicyError

    try:
        yield
    except BelowPolicyError as error:
        for option in ("fpir", "fmr"):
            rate = getattr(arguments, option, None)
            if rate is not None and arguments.threshold is None:
                raise InputError(
                    f"--{option} {rate:g} means threshold {error.threshold:.4f}, below {error.least}, which the"
                    " gallery's decision policy requires",
                    hint=error.hint,
                ) from error
        raise


def read_passphrase(prompt: str, *, twice: bool) -> str:
    """Read a passphrase from the terminal, or the next line of stdin if stdin is not a terminal."""
    if not sys.stdin.isatty():
        line = sys.stdin.buffer.readline(_MAX_PASSPHRASE_BYTES)
        if not line:
            raise InputError(f"expected a {prompt} on the terminal or as a line of stdin, found neither")
        try:
            return line.decode().rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise InputError(
                f"expected a {prompt} in UTF-8 on stdin, found bytes that are not UTF-8"
            ) from error
    text = getpass.getpass(f"{prompt}: ")
    if twice and getpass.getpass(f"{prompt} again: ") != text:
        raise InputError("the two passphrases differ", hint="nothing was written; try again")
    return text
