"""``edge-sdk gallery``: who is in the gallery, what it is worth, and the group's other commands."""

from __future__ import annotations

import argparse
import time
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge_sdk import console
from edge_sdk.cli import gallery_exchange, gallery_keys, gallery_policy
from edge_sdk.cli.arguments import (
    add_command,
    add_gallery_arguments,
    add_validity_arguments,
    counted,
    create_gallery,
    open_gallery,
    tell,
)

_FILES = "--gallery home.gallery --key home.key"
_EPILOG = """\
Every command on a gallery takes the anchor that it was made with (--anchor): without it an old copy is not noticed, and two changes
without it are refused afterwards as a lost anchor is (re-anchor goes on).
Passphrases are asked for on the terminal; in a pipe each is a line of stdin: of --key, then of --other-key, --to or the new key.
exit codes: 0 done, 1 a problem was found (verify, audit), 2 usage, 3 error"""


def add_commands(commands: Any) -> None:
    """Add the group and its commands."""
    group = commands.add_parser(
        "gallery",
        help="look after the gallery",
        description="Look after the gallery: who is in it, its keys and its anchor, how it decides, what others may ask of it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    rooms = group.add_subparsers(required=True, metavar="COMMAND")
    create = add_command(
        rooms,
        "create",
        "make an empty gallery for a model",
        _create,
        example=f"gallery create {_FILES} --model face.tflite",
    )
    create.add_argument("--model", type=Path, required=True, help="a .tflite that edge-convert made")
    create.add_argument("--model-sha256", help="the digest it must have; checked before it is parsed")
    create.add_argument(
        "--audit",
        choices=["changes", "all", "off"],
        default="changes",
        help="what the audit log keeps: changes, all (answers too), or nothing (default: changes)",
    )
    create.add_argument(
        "--suite",
        choices=["aes-256-gcm", "chacha20-poly1305"],
        default="aes-256-gcm",
        help="the cipher; the second for a CPU without AES instructions",
    )
    create.add_argument(
        "--dtype",
        choices=["int8", "float16"],
        default="int8",
        help="how templates are stored (default: int8)",
    )
    listing = add_command(rooms, "list", "list who is enrolled", _list, example=f"gallery list {_FILES}")
    remove = add_command(
        rooms,
        "remove",
        "remove a subject; see erase for what older copies of the file hold",
        _remove,
        example=f"gallery remove alice {_FILES}",
    )
    revoke = add_command(
        rooms,
        "revoke",
        "keep a subject but let them in no more",
        _revoke,
        example=f"gallery revoke alice {_FILES}",
    )
    reinstate = add_command(
        rooms, "reinstate", "undo revoke", _reinstate, example=f"gallery reinstate alice {_FILES}"
    )
    change = add_command(
        rooms,
        "change",
        "give a subject another label, or bounds in time",
        _change,
        example=f"gallery change alice --valid-until 2030-01-31T18:00+01:00 {_FILES}",
    )
    change.add_argument("--label", help="free text to keep with the subject")
    add_validity_arguments(change)
    for parser in (remove, revoke, reinstate, change):
        parser.add_argument("subject", help="the name it was enrolled by")
    status = add_command(
        rooms,
        "status",
        "say how strong and how full the gallery is, and what it does not protect from",
        _status,
        example=f"gallery status {_FILES} --json",
    )
    verify = add_command(
        rooms,
        "verify",
        "open the gallery and check all there is to check: seal, anchor, templates, audit log, counter of failures, file modes",
        _verify,
        example=f"gallery verify {_FILES}",
    )
    audit = add_command(
        rooms,
        "audit",
        "print the audit log and check that nothing of it is missing or altered",
        _audit,
        example=f"gallery audit {_FILES}",
    )
    for parser in (create, listing, remove, revoke, reinstate, change, status, verify, audit):
        add_gallery_arguments(parser)
    gallery_policy.add_commands(rooms)
    gallery_keys.add_commands(rooms)
    gallery_exchange.add_commands(rooms)


def _create(arguments: argparse.Namespace) -> int:
    from edge_sdk.runtime.backend_choice import BackendWarning
    from edge_sdk.vision.embedder import Embedder

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BackendWarning)  # nothing is decided here
        embedder = Embedder.open(arguments.model, sha256=arguments.model_sha256)
    gallery = create_gallery(
        arguments,
        model_id=embedder.model_id,
        dimension=embedder.dimension,
        audit=arguments.audit,
        suite=arguments.suite,
        dtype=arguments.dtype,
    )
    status = gallery.status()
    tell(
        arguments,
        {"created": status.path, "gallery_id": status.gallery_id, "key_level": status.key_level},
        f"made {status.path} with a {status.key_name} (level {status.key_level})",
    )
    return 0


def _list(arguments: argparse.Namespace) -> int:
    subjects = open_gallery(arguments).subjects()
    tell(
        arguments,
        [
            {
                "subject": s.name,
                "label": s.label,
                "templates": s.templates,
                "revoked": s.revoked,
                "valid_from_s": s.valid_from_s,
                "valid_until_s": s.valid_until_s,
                "threshold": s.threshold,
                "id": s.id,
            }
            for s in subjects
        ],
        "\n".join(
            f"{s.name}\t{s.templates}\t{s.label}"
            + ("\trevoked" if s.revoked else "")
            + (f"\tfrom {_time_of(s.valid_from_s)}" if s.valid_from_s else "")
            + (f"\tuntil {_time_of(s.valid_until_s)}" if s.valid_until_s else "")
            + (f"\tthreshold {s.threshold:g}" if s.threshold is not None else "")
            for s in subjects
        ),
    )
    return 0


def _remove(arguments: argparse.Namespace) -> int:
    open_gallery(arguments).remove(arguments.subject)
    tell(arguments, {"removed": arguments.subject}, f"removed {arguments.subject}")
    return 0


def _revoke(arguments: argparse.Namespace) -> int:
    open_gallery(arguments).revoke(arguments.subject)
    tell(arguments, {"revoked": arguments.subject}, f"revoked {arguments.subject}")
    return 0


def _reinstate(arguments: argparse.Namespace) -> int:
    open_gallery(arguments).reinstate(arguments.subject)
    tell(arguments, {"reinstated": arguments.subject}, f"reinstated {arguments.subject}")
    return 0


def _change(arguments: argparse.Namespace) -> int:
    asked = {
        name: value
        for name in ("label", "valid_from", "valid_until")
        if (value := getattr(arguments, name)) is not None
    }
    if not asked:
        arguments.parser.error("give --label, --valid-from or --valid-until")
    open_gallery(arguments).change(arguments.subject, **asked)
    tell(arguments, {"changed": arguments.subject}, f"changed {arguments.subject}")
    return 0


def _status(arguments: argparse.Namespace) -> int:
    status = asdict(open_gallery(arguments).status())
    lines = [f"{name:<13} {_word(value)}" for name, value in status.items() if name != "not_protected"]
    lines += [f"not_protected {gap}" for gap in status["not_protected"]]
    tell(arguments, status, "\n".join(lines))
    return 0


def _word(value: object) -> object:
    """A value of `status` for a person."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value


def _verify(arguments: argparse.Namespace) -> int:
    gallery = open_gallery(arguments)
    problems, status = gallery.problems(), gallery.status()
    tell(
        arguments,
        {"generation": status.generation, "templates": status.templates, "problems": list(problems)},
        "\n".join(
            [
                f"{status.path}: generation {status.generation}, {counted(status.subjects, 'subject')} with "
                f"{counted(status.templates, 'template')}, opened with a {status.key_name}; anchor: {status.anchor}",
                *(f"problem: {problem}" for problem in problems),
                *([] if problems else ["no problem found"]),
            ]
        ),
    )
    return console.CLEAN_NEGATIVE if problems else 0


def _time_of(at_s: int) -> str:
    """An entry's time for a person; a number that no calendar reaches stays one."""
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_s))
    except (OverflowError, ValueError, OSError):
        return f"{at_s} s"


def _audit(arguments: argparse.Namespace) -> int:
    report = open_gallery(arguments).audit()
    lines = [
        f"{entry.number}\t{_time_of(entry.at_s)}\t{entry.generation}\t"
        f"{entry.event.event}\t{entry.event.subject or '-'}\t{entry.event.detail or '-'}"
        + ("" if entry.carried_out else "\tnot carried out")
        for entry in report.entries
    ]
    tell(arguments, {**asdict(report), "intact": report.intact}, "\n".join([*lines, *report.words()]))
    return 0 if report.intact else console.CLEAN_NEGATIVE
