"""``edge-sdk gallery``: the group and its commands for subjects, state and audit log."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from edge_sdk.cli import gallery_backup, gallery_exchange, gallery_keys, gallery_migrate, gallery_policy
from edge_sdk.cli.arguments import (
    GALLERY_EXAMPLE,
    Output,
    add_gallery_command,
    add_model_arguments,
    add_pin_arguments,
    add_validity_arguments,
    format_count,
)
from edge_sdk.cli.opening import create_gallery, open_gallery, pinned_networks

if TYPE_CHECKING:
    from edge_sdk.gallery import AuditReport

_DESCRIPTION = """\
Manage a gallery: subjects, keys, anchor, decisions, audit log, exchange.

Give a gallery's anchor (--anchor) to every command. Without it, a gallery that has an anchor can be read, but not
changed or used for answers, and an old copy is not detected.
Passphrases are read from the terminal, or one per line from stdin, in this order: --key, --other-key, then --to or the
new key."""
_EPILOG = f"""\
example:
  edge-sdk gallery status {GALLERY_EXAMPLE}

exit codes: 0 done, 1 a problem was found (verify, audit), 2 usage, 3 error"""


def add_commands(commands: Any) -> None:
    """Add the group `gallery` and its commands."""
    group = commands.add_parser(
        "gallery",
        help="manage a gallery: subjects, keys, decisions, audit log, exchange",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    inner = group.add_subparsers(required=True, metavar="COMMAND")
    add = partial(add_gallery_command, inner)
    create = add(
        "create",
        "create an empty gallery for a model",
        _create,
        "--model face.tflite",
        details="Create the key file too if it does not exist.",
        installed=False,
    )
    add_model_arguments(create, delegate=False)
    add_pin_arguments(create)
    create.add_argument(
        "--audit",
        choices=["all", "changes", "off"],
        default="all",
        help="events in the audit log; all: changes and answers; changes: changes only; off: no log (default: %(default)s)",
    )
    create.add_argument(
        "--suite",
        choices=["aes-256-gcm", "chacha20-poly1305"],
        default="aes-256-gcm",
        help="cipher; chacha20-poly1305 is faster on a CPU without AES instructions (default: %(default)s)",
    )
    create.add_argument(
        "--dtype",
        choices=["int8", "float16"],
        default="int8",
        help="number format of stored templates (default: %(default)s)",
    )
    add(
        "list",
        "list the subjects",
        _list,
        details="Print one line per subject: name, number of templates, label; if set, also revoked, not yet valid or expired, validity\n"
        "period, threshold, and looks with their numbers of templates.",
    )
    remove = add(
        "remove",
        "remove a subject and its templates",
        _remove,
        "alice",
        details="Older copies of the file still contain the templates; see gallery erase.",
    )
    look = add(
        "remove-look",
        "remove the pictures of one look of a subject, which enrol --add has added",
        _remove_look,
        "alice glasses",
        details="The templates of the enrolment stay. Older copies of the file still contain the removed ones.",
    )
    revoke = add("revoke", "reject a subject from now on, but keep its templates", _revoke, "alice")
    reinstate = add("reinstate", "accept a revoked subject again", _reinstate, "alice")
    change = add(
        "change",
        "change a subject's label or validity period",
        _change,
        "alice --valid-until 2030-01-31T18:00+01:00",
    )
    change.add_argument(
        "--label", metavar="TEXT", help="text to store with the subject, 0..64 bytes (default: unchanged)"
    )
    add_validity_arguments(change, default="unchanged")
    for parser in (remove, look, revoke, reinstate, change):
        parser.add_argument("subject", help="name of an enrolled subject")
    look.add_argument("look", help="name of the look, as printed by gallery list")
    add(
        "status",
        "print a gallery's state and the attacks that it does not protect against",
        _status,
        "--json",
    )
    add(
        "verify",
        "check a gallery: seal, anchor, templates, thresholds, audit log, attempt counter, file modes",
        _verify,
        details="The exit code is 1 if a problem is found.",
    )
    add(
        "audit",
        "print the audit log and check that no entry is missing or altered",
        _audit,
        details="Print one line per entry: number, time, generation, event, subject (erased subject and a number if it is not\n"
        "enrolled any more), meaning. The exit code is 1 if the check fails.",
    )
    log_answers = add("log-answers", "record answers in the audit log, or changes only", _log_answers, "off")
    log_answers.add_argument(
        "answers", choices=["on", "off"], help="on: record changes and answers; off: record changes only"
    )
    gallery_policy.add_commands(inner)
    gallery_keys.add_commands(inner)
    gallery_exchange.add_commands(inner)
    gallery_migrate.add_commands(inner)
    gallery_backup.add_commands(inner)


def _create(arguments: argparse.Namespace) -> Output:
    from edge_sdk.runtime.backend_choice import BackendWarning
    from edge_sdk.vision.embedder import Embedder

    with warnings.catch_warnings():
        # Missing evidence does not matter here, because nothing is decided.
        warnings.simplefilter("ignore", BackendWarning)
        embedder = Embedder.open(arguments.model, sha256=arguments.model_sha256)
    gallery = create_gallery(
        arguments,
        model_id=embedder.model_id,
        dimension=embedder.dimension,
        audit=arguments.audit,
        suite=arguments.suite,
        dtype=arguments.dtype,
        networks=pinned_networks(arguments),
    )
    status = gallery.status()
    return Output(
        {"created": status.path, "gallery_id": status.gallery_id, "key_level": status.key_level},
        f"created {status.path}, sealed with a {status.key_name} (level {status.key_level})",
    )


def _list(arguments: argparse.Namespace) -> Output:
    from edge_sdk.gallery.rules.eligibility import exclusion
    from edge_sdk.gallery.rules.known_time import format_time

    gallery = open_gallery(arguments)
    time = gallery.time()
    subjects = [(subject, exclusion(subject, time)) for subject in gallery.subjects()]
    return Output(
        [
            {
                "subject": s.name,
                "label": s.label,
                "templates": s.templates,
                "revoked": s.revoked,
                "excluded": why,
                "valid_from_s": s.valid_from_s,
                "valid_until_s": s.valid_until_s,
                "threshold": s.threshold,
                "looks": [asdict(look) for look in s.looks],
                "id": s.id,
            }
            for s, why in subjects
        ],
        # A program that reads the lines gets subjects only.
        ("subject\ttemplates\tlabel\tremarks\n" if subjects and sys.stdout.isatty() else "")
        + "\n".join(
            f"{s.name}\t{s.templates}\t{s.label}"
            + (f"\t{why}" if why else "")
            + (f"\tfrom {format_time(s.valid_from_s)}" if s.valid_from_s else "")
            + (f"\tuntil {format_time(s.valid_until_s)}" if s.valid_until_s else "")
            + (f"\tthreshold {s.threshold:g}" if s.threshold is not None else "")
            + (
                f"\tlooks: {', '.join(f'{look.name} ({look.templates})' for look in s.looks)}"
                if s.looks
                else ""
            )
            for s, why in subjects
        ),
    )


def _remove(arguments: argparse.Namespace) -> Output:
    open_gallery(arguments).remove(arguments.subject)
    return Output({"removed": arguments.subject}, f"removed {arguments.subject}")


def _remove_look(arguments: argparse.Namespace) -> Output:
    open_gallery(arguments).remove_look(arguments.subject, arguments.look)
    return Output(
        {"removed_look": arguments.look, "subject": arguments.subject},
        f"removed the look {arguments.look} of {arguments.subject}",
    )


def _revoke(arguments: argparse.Namespace) -> Output:
    open_gallery(arguments).revoke(arguments.subject)
    return Output({"revoked": arguments.subject}, f"revoked {arguments.subject}")


def _reinstate(arguments: argparse.Namespace) -> Output:
    open_gallery(arguments).reinstate(arguments.subject)
    return Output({"reinstated": arguments.subject}, f"reinstated {arguments.subject}")


def _change(arguments: argparse.Namespace) -> Output:
    changes = {
        name: value
        for name in ("label", "valid_from", "valid_until")
        if (value := getattr(arguments, name)) is not None
    }
    if not changes:
        arguments.parser.error("give --label, --valid-from or --valid-until")
    open_gallery(arguments).change(arguments.subject, **changes)
    return Output({"changed": arguments.subject}, f"changed {arguments.subject}")


def _status(arguments: argparse.Namespace) -> Output:
    status = asdict(open_gallery(arguments).status())
    lines = [
        f"{name:<13} {_format_value(value)}"
        for name, value in status.items()
        if name not in ("not_protected", "transfer", "raised", "mixed_subjects") and value is not None
    ]
    lines += [f"not_protected {gap}" for gap in status["not_protected"]]
    return Output(status, "\n".join(lines))


def _verify(arguments: argparse.Namespace) -> Output:
    gallery = open_gallery(arguments)
    problems, status = gallery.problems(), gallery.status()
    notes = []
    if status.evidence_renewal is not None:
        notes = [f"operating points {status.evidence}", f"to renew them: {status.evidence_renewal}"]
    return Output(
        {
            "generation": status.generation,
            "templates": status.templates,
            "problems": list(problems),
            "notes": notes,
        },
        "\n".join(
            [
                f"{status.path}: generation {status.generation}, {format_count(status.subjects, 'subject')} with "
                f"{format_count(status.templates, 'template')}, opened with a {status.key_name}; anchor: {status.anchor}",
                *(f"problem: {problem}" for problem in problems),
                *(f"note: {note}" for note in notes),
                *([] if problems else ["no problem found"]),
            ]
        ),
        not problems,
    )


def _audit(arguments: argparse.Namespace) -> Output:
    from edge_sdk.gallery.rules.known_time import format_time
    from edge_sdk.gallery.store.audit_events import in_words

    gallery = open_gallery(arguments)
    report = gallery.audit.report()
    subjects = gallery.subjects()
    names = {subject.id: subject.name for subject in subjects}
    looks = {look.id: f"look {look.name}" for subject in subjects for look in subject.looks}
    erased = 0
    # A log may have hundreds of thousands of entries, so they are printed while they are read.
    if arguments.json:
        _print_json(report, names, looks)
        return Output(None, "", report.intact)
    for entry in report.entries:
        subject = entry.event.subject
        if subject and subject not in names:
            erased += 1
            names[subject] = f"erased subject {erased}"
        print(
            f"{entry.number}\t{format_time(entry.at_s)}\t{entry.generation}\t{entry.event.event}\t"
            f"{names.get(subject, '-')}\t{in_words(entry.event, looks)}"
            + ("" if entry.carried_out else "\tnot carried out")
        )
    return Output(None, "\n".join(report.words()), report.intact)


def _print_json(report: AuditReport, names: dict[str, str], looks: dict[str, str]) -> None:
    from edge_sdk.gallery.store.audit_events import in_words

    print('{"entries": [')
    separator = ""
    for entry in report.entries:
        value = {
            **asdict(entry),
            "subject_name": names.get(entry.event.subject),
            "words": in_words(entry.event, looks),
        }
        print(separator + json.dumps(value), end="")
        separator = ",\n"
    summary = {
        "sealed": report.sealed,
        "last": report.last,
        "intact": report.intact,
        "broken_at": report.broken_at,
        "strays": [stray._asdict() for stray in report.strays],
        "stray_lines": report.stray_lines,
        "segments": [asdict(segment) for segment in report.segments],
        "removed": asdict(report.removed),
        "summary": report.words(),
    }
    print("],\n" + json.dumps(summary, indent=1).removeprefix("{"))


def _log_answers(arguments: argparse.Namespace) -> Output:
    enabled = arguments.answers == "on"
    open_gallery(arguments).audit.log_answers(enabled)
    text = "changes and answers" if enabled else "changes"
    return Output({"audit": text}, f"audit log: {text}")


def _format_value(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4f}"
    return value
