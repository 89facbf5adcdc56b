"""``edge-sdk``: enrol, verify, identify and keep the gallery, from aligned crops in image files."""

from __future__ import annotations

import argparse
import getpass
import json
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_sdk import __version__, console
from edge_sdk.errors import GalleryError, InputError, ModelCardError

if TYPE_CHECKING:
    from edge_sdk.gallery import Anchor, Gallery, KeyProvider
    from edge_sdk.inference.card import ModelCard
    from edge_sdk.perception.embedder import Embedder
    from edge_sdk.types import FloatArray

PROGRAM = "edge-sdk"
_MAX_PASSPHRASE_BYTES = 4096

_FILES = "--model face.tflite --gallery home.gallery --key home.key"
_EXAMPLES = {
    "enrol": f"  edge-sdk enrol alice alice-1.jpg alice-2.jpg {_FILES}",
    "verify": f"  edge-sdk verify alice probe.jpg {_FILES} --fmr 1e-4",
    "identify": f"  edge-sdk identify probe.jpg {_FILES} --fpir 0.01",
    "gallery list": "  edge-sdk gallery list --gallery home.gallery --key home.key",
    "gallery remove": "  edge-sdk gallery remove alice --gallery home.gallery --key home.key",
    "gallery status": "  edge-sdk gallery status --gallery home.gallery --key home.key --json",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    arguments = _parser().parse_args(argv)
    return console.run(PROGRAM, lambda: int(arguments.run(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Recognize someone with a model that edge-convert made. Images are aligned crops.",
        epilog="exit codes: 0 done or match, 1 no match, 2 usage, 3 error; nothing opens on an error",
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    enrol = _command(commands, "enrol", "enrol one subject from one or more images", _enrol)
    enrol.add_argument("subject", help="a name of your choice, 1 to 64 bytes")
    enrol.add_argument("images", nargs="+", type=Path, help="JPEG, PNG or PPM crops of the subject")
    enrol.add_argument("--label", default="", help="free text to keep with the subject")
    verify = _command(commands, "verify", "ask whether an image shows the subject (1:1)", _verify)
    verify.add_argument("subject", help="the name that is claimed")
    verify.add_argument("image", type=Path, help="a JPEG, PNG or PPM crop")
    identify = _command(commands, "identify", "ask who images show (1:N)", _identify)
    identify.add_argument("images", nargs="+", type=Path, help="JPEG, PNG or PPM crops, each one probe")
    for parser_ in (enrol, verify, identify):
        parser_.add_argument("--model", type=Path, required=True, help="a .tflite that edge-convert made")
        parser_.add_argument("--model-sha256", help="the digest it must have; checked before it is parsed")
    for parser_ in (verify, identify):
        threshold = parser_.add_mutually_exclusive_group()
        threshold.add_argument("--fmr", type=float, help="use the card's operating point at this FMR")
        threshold.add_argument(
            "--threshold", type=float, help="cosine to reach, where the card has no evidence"
        )
        if parser_ is identify:
            threshold.add_argument(
                "--fpir",
                type=float,
                help="let at most this share of strangers in, whatever the gallery's size",
            )
    gallery = commands.add_parser("gallery", help="look after the gallery")
    rooms = gallery.add_subparsers(required=True, metavar="COMMAND")
    _command(rooms, "gallery list", "list who is enrolled", _list)
    remove = _command(rooms, "gallery remove", "remove a subject", _remove)
    remove.add_argument("subject", help="the name it was enrolled by")
    _command(rooms, "gallery status", "say how strong and how full the gallery is", _status)
    return parser


def _command(commands: Any, name: str, summary: str, run: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name.split()[-1],
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example:\n{_EXAMPLES[name]}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--gallery", type=Path, required=True, help="the gallery file; enrol makes it")
    key = parser.add_mutually_exclusive_group(required=True)
    key.add_argument(
        "--key", type=Path, metavar="FILE", help="the key file; enrol makes it with a new gallery"
    )
    key.add_argument("--passphrase", action="store_true", help="ask for a passphrase")
    parser.add_argument("--anchor", type=Path, metavar="FILE", help="where the newest generation is noted")
    parser.add_argument("--json", action="store_true", help="print JSON, for a program to read")
    parser.set_defaults(run=run)
    return parser


def _enrol(arguments: argparse.Namespace) -> int:
    from edge_sdk.gallery.transaction import checked_text

    # Names and images are looked at before the gallery is touched, so a bad one leaves no new files behind.
    checked_text(arguments.subject, "a subject's name", min_bytes=1)
    checked_text(arguments.label, "a label", min_bytes=0)
    embedder = _open_embedder(arguments)
    embeddings = _embed(embedder, arguments.images)
    gallery = _open_or_create(arguments, embedder)
    gallery.enrol(arguments.subject, embeddings, label=arguments.label)
    count = len(arguments.images)
    _tell(
        arguments,
        {"enrolled": arguments.subject, "templates": count},
        f"enrolled {arguments.subject} with {count} template{'s' if count != 1 else ''}",
    )
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    embedder = _open_embedder(arguments)
    threshold = _threshold(arguments, embedder.card)
    gallery = _open_gallery(arguments, embedder.model_id)
    answer = gallery.verify(_embed(embedder, [arguments.image])[0], arguments.subject, threshold=threshold)
    _tell(
        arguments,
        {"decision": answer.decision.value, "subject": answer.subject},
        f"{arguments.image}: {answer.decision.value} as {answer.subject}",
    )
    return 0 if answer.accepted else console.CLEAN_NEGATIVE


def _identify(arguments: argparse.Namespace) -> int:
    embedder = _open_embedder(arguments)
    gallery = _open_gallery(arguments, embedder.model_id)
    threshold = _search_threshold(arguments, embedder.card, references=gallery.status().templates)
    probes = _embed(embedder, arguments.images)
    answers = [gallery.identify(probe, threshold=threshold) for probe in probes]
    _tell(
        arguments,
        [
            {"image": str(image), "decision": answer.decision.value, "subject": answer.subject}
            for image, answer in zip(arguments.images, answers, strict=True)
        ],
        "\n".join(
            f"{image}: {answer.decision.value}" + (f" as {answer.subject}" if answer.subject else "")
            for image, answer in zip(arguments.images, answers, strict=True)
        ),
    )
    return 0 if all(answer.accepted for answer in answers) else console.CLEAN_NEGATIVE


def _list(arguments: argparse.Namespace) -> int:
    subjects = _open_gallery(arguments, None).subjects()
    _tell(
        arguments,
        [
            {"subject": s.name, "label": s.label, "templates": s.templates, "revoked": s.revoked}
            for s in subjects
        ],
        "\n".join(f"{s.name}\t{s.templates}\t{s.label}" for s in subjects),
    )
    return 0


def _remove(arguments: argparse.Namespace) -> int:
    _open_gallery(arguments, None).remove(arguments.subject)
    _tell(arguments, {"removed": arguments.subject}, f"removed {arguments.subject}")
    return 0


def _status(arguments: argparse.Namespace) -> int:
    from dataclasses import asdict

    status = asdict(_open_gallery(arguments, None).status())
    _tell(arguments, status, "\n".join(f"{name:<12} {value}" for name, value in status.items()))
    return 0


def _tell(arguments: argparse.Namespace, value: Any, text: str) -> None:
    if arguments.json:
        print(json.dumps(value, indent=1))
    elif text:
        print(text)


def _open_embedder(arguments: argparse.Namespace) -> Embedder:
    from edge_sdk.perception.embedder import Embedder

    return Embedder.open(arguments.model, sha256=arguments.model_sha256)


def _embed(embedder: Embedder, paths: Sequence[Path]) -> FloatArray:
    import numpy as np

    from edge_sdk.perception.images import read_image

    return np.stack([embedder.embed(read_image(path, color=embedder.card.input.color)) for path in paths])


def _threshold(arguments: argparse.Namespace, card: ModelCard) -> float:
    """The threshold the user asked for, by evidence in the card or by number; never one made up here."""
    if arguments.threshold is not None:
        if not -1 <= arguments.threshold <= 1:
            raise InputError(f"expected a cosine threshold in -1..1, found {arguments.threshold:g}")
        return float(arguments.threshold)
    points = sorted(card.operating_points, key=lambda point: point.fmr)
    known = ", ".join(f"{point.fmr:g}" for point in points)
    if not points:
        raise ModelCardError(
            "the model card has no operating point, so no threshold is known",
            hint="measure one with edge-convert evaluate --write-card, or say --threshold",
        )
    if arguments.fmr is None:
        raise ModelCardError(
            f"expected --fmr, one of {known}, or --threshold", hint="say how often a stranger may match"
        )
    for point in points:
        # As exact as the list of known ones is printed.
        if math.isclose(point.fmr, arguments.fmr, rel_tol=1e-5):
            return point.threshold
    raise ModelCardError(f"expected an FMR that the card has evidence for ({known}), found {arguments.fmr:g}")


def _search_threshold(arguments: argparse.Namespace, card: ModelCard, *, references: int) -> float:
    """The threshold for a search of so many references; a wish by FPIR knows that N references are N chances."""
    if arguments.fpir is None:
        return _threshold(arguments, card)
    from edge_sdk.decision.operating_point import OperatingPoint

    wanted = OperatingPoint.for_identification(
        card.operating_points, fpir=arguments.fpir, references=max(1, references)
    )
    return wanted.threshold


def _key(arguments: argparse.Namespace, *, new: bool) -> KeyProvider:
    from edge_sdk.gallery import KeyFile, Passphrase

    if not arguments.passphrase:
        if new and not arguments.key.exists():
            key = KeyFile.create(arguments.key)
            console.say(
                PROGRAM, f"made a key file {arguments.key}: keep it off the gallery's disk if you can"
            )
            return key
        return KeyFile(arguments.key)
    return Passphrase(_passphrase(new=new))


def _passphrase(*, new: bool) -> str:
    """Ask on the terminal, twice for a new one; where there is no terminal, the first line of stdin."""
    if not sys.stdin.isatty():
        line = sys.stdin.buffer.readline(_MAX_PASSPHRASE_BYTES)
        if not line:
            raise InputError("expected a passphrase on the terminal or as a line of stdin, found neither")
        try:
            return line.decode().rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise InputError("expected a passphrase in UTF-8, found other bytes on stdin") from error
    text = getpass.getpass("passphrase: ")
    if new and getpass.getpass("passphrase again: ") != text:
        raise InputError("the two passphrases differ", hint="nothing was written; try again")
    return text


def _anchor(arguments: argparse.Namespace) -> Anchor | None:
    from edge_sdk.gallery import FileAnchor

    return None if arguments.anchor is None else FileAnchor(arguments.anchor)


def _open_gallery(arguments: argparse.Namespace, model_id: bytes | None) -> Gallery:
    from edge_sdk.gallery import Gallery

    return Gallery.open(
        arguments.gallery, key=_key(arguments, new=False), model_id=model_id, anchor=_anchor(arguments)
    )


def _open_or_create(arguments: argparse.Namespace, embedder: Embedder) -> Gallery:
    from edge_sdk.gallery import Gallery

    if arguments.gallery.exists() or arguments.gallery.is_symlink():
        return _open_gallery(arguments, embedder.model_id)
    for path in (arguments.gallery, arguments.key, arguments.anchor):
        if path is not None and not path.parent.is_dir():
            raise GalleryError(f"{path}: there is no such folder to put it in", hint="make the folder first")
    try:
        return Gallery.create(
            arguments.gallery,
            key=_key(arguments, new=True),
            model_id=embedder.model_id,
            dimension=embedder.dimension,
            anchor=_anchor(arguments),
        )
    except OSError as error:
        raise GalleryError(f"{arguments.gallery}: cannot be made: {error.strerror or error}") from error


if __name__ == "__main__":
    sys.exit(main())
