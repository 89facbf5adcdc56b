"""``edge-sdk gallery``: stored captures, and the change of a gallery's model."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_sdk.cli.arguments import (
    Output,
    add_command,
    add_gallery_command,
    format_count,
    show_progress,
)
from edge_sdk.cli.opening import open_gallery

if TYPE_CHECKING:
    from edge_sdk.gallery.components.captures import CapturesStatus
    from edge_sdk.gallery.components.migration import MigrationResult


def add_commands(commands: Any) -> None:
    """Add `captures-key`, `captures` and `migrate` to the group `gallery`."""
    key = add_command(
        commands,
        "captures-key",
        "make a key pair for stored captures",
        _captures_key,
        example="gallery captures-key captures.key",
        details="FILE gets the private key, FILE.pub the public key. Only the public key belongs on the device. Keep the private\n"
        "key offline: together with the captures files it shows the faces. Without it the captures cannot be read.",
    )
    key.add_argument("file", type=Path, metavar="FILE", help="file for the private key; must not exist")
    add = partial(add_gallery_command, commands)
    captures = add(
        "captures",
        "store captures of enrolments sealed, so that another model needs no new visit",
        _captures,
        "--recipient captures.key.pub",
        details="Captures are off by default. When they are on, enrol and face enrol store them with --store-captures CONSENT.\n"
        "They are erased with the subject. Without an option the command prints whose captures are stored.",
    )
    kinds = captures.add_mutually_exclusive_group()
    kinds.add_argument(
        "--recipient",
        type=Path,
        metavar="FILE",
        help="switch captures on, sealed for this public key, captures.key.pub of gallery captures-key (default: unchanged)",
    )
    kinds.add_argument("--off", action="store_true", help="remove all stored captures and store no more")
    kinds.add_argument(
        "--remove",
        metavar="NAME",
        help="remove the captures of one subject, who stays enrolled (default: none)",
    )
    migrate = add(
        "migrate",
        "change the model of a gallery without another visit of its subjects",
        _migrate,
        "--model new.tflite --captures-key captures.key",
        details="Make templates of the new model from stored captures, or map the stored templates. The state before is kept until\n"
        "--confirm. Names, validity, revocations and the audit log stay. Without an option the command prints what waits\n"
        "for confirmation.",
    )
    step = migrate.add_mutually_exclusive_group()
    step.add_argument(
        "--model",
        type=Path,
        metavar="FILE",
        help="new model made by edge-convert (.tflite) (default: none; print what waits for confirmation)",
    )
    step.add_argument(
        "--confirm", action="store_true", help="keep the new model, and remove the state before the change"
    )
    step.add_argument(
        "--undo",
        action="store_true",
        help="return to the model before; revocations and removals since the change are kept",
    )
    source = migrate.add_mutually_exclusive_group()
    source.add_argument(
        "--captures-key",
        type=Path,
        metavar="FILE",
        help="private key of the stored captures, made by gallery captures-key; use it with --model (default: none)",
    )
    source.add_argument(
        "--map",
        type=Path,
        metavar="FILE",
        help="map from the gallery's model to the new one, made by edge-convert map; refused if its measured loss is above"
        " 1 point of FNMR; use it with --model (default: none)",
    )
    migrate.add_argument(
        "--leave-out",
        action="append",
        default=[],
        metavar="NAME",
        help="remove this subject from the gallery, for example if it has no captures; may be repeated (default: none)",
    )
    migrate.add_argument(
        "--allow-duplicates",
        action="store_true",
        help="change the model even if two subjects look alike to it; verify first that they are different people",
    )


def _captures_key(arguments: argparse.Namespace) -> Output:
    from edge_sdk.gallery.captures.keys import CapturesKey, public_path

    key = CapturesKey.create(arguments.file)
    public = public_path(arguments.file)
    return Output(
        {"private": str(arguments.file), "public": str(public), "recipient": key.public.hex()},
        f"made {arguments.file} (private: keep it away from the device) and {public} (for the device)",
    )


def _captures(arguments: argparse.Namespace) -> Output:
    from edge_sdk.gallery.captures.keys import read_recipient

    gallery = open_gallery(arguments)
    if arguments.recipient is not None:
        gallery.captures.switch_on(read_recipient(arguments.recipient))
    elif arguments.off:
        gallery.captures.switch_off()
    elif arguments.remove is not None:
        gallery.captures.remove(arguments.remove)
    status = gallery.captures.status()
    return Output(
        {
            "recipient": status.recipient,
            "subjects": dict(status.subjects),
            "without": list(status.without),
        },
        "\n".join(_status_lines(status)),
    )


def _status_lines(status: CapturesStatus) -> list[str]:
    if status.recipient is None:
        return ["captures: off"]
    lines = [f"captures: on, sealed for the key {status.recipient}"]
    lines += [f"{name}\t{format_count(count, 'capture')}" for name, count in status.subjects]
    return [*lines, *(f"{name}\tno captures" for name in status.without)]


def _migrate(arguments: argparse.Namespace) -> Output:
    sources = arguments.captures_key is not None or arguments.map is not None
    further = sources or arguments.leave_out or arguments.allow_duplicates
    if arguments.model is None and further:
        arguments.parser.error("give --model with --captures-key, --map, --leave-out and --allow-duplicates")
    if arguments.model is not None and not sources:
        arguments.parser.error("give --captures-key or --map with --model")
    gallery = open_gallery(arguments)
    if arguments.confirm:
        gallery.migration.confirm()
        return Output({"confirmed": True}, "confirmed: the new model is kept, the state before is removed")
    if arguments.undo:
        gallery.migration.undo()
        status = gallery.status()
        return Output(
            {"undone": True, "model_id": status.model_id, "generation": status.generation},
            f"undone: the gallery holds templates of model {status.model_id[:8]} again; use that model's file",
        )
    if arguments.model is None:
        pending = gallery.migration.pending()
        if pending is None:
            return Output({"pending": None}, "no change of the model waits for confirmation")
        return Output(
            {
                "pending": {
                    "generation": pending.generation,
                    "model_id": pending.model_id,
                    "method": pending.method,
                    "left_out": pending.left_out,
                }
            },
            f"the change from model {pending.model_id[:8]} (generation {pending.generation}, by {pending.method}) waits for"
            " --confirm or --undo",
        )
    return _changed(_change(arguments, gallery))


def _change(arguments: argparse.Namespace, gallery: Any) -> MigrationResult:
    from edge_sdk.gallery.captures.keys import CapturesKey
    from edge_sdk.gallery.migration.space_map import read_map
    from edge_sdk.vision.embedder import Embedder

    options = {"leave_out": arguments.leave_out, "allow_duplicates": arguments.allow_duplicates}
    # The map is read first, so that a map that loses too much is refused before the model is opened.
    if arguments.map is not None:
        space_map = read_map(arguments.map)
        space_map.require_usable()
        result: MigrationResult = gallery.migration.with_map(
            Embedder.open(arguments.model), space_map, **options
        )
        return result
    key = CapturesKey.read(arguments.captures_key)
    embedder = Embedder.open(arguments.model)
    with show_progress("subjects {done:.0f} of {total:.0f}") as progress:
        result = gallery.migration.with_captures(embedder, key, progress=progress, **options)
    return result


def _changed(result: MigrationResult) -> Output:
    lines = [
        f"changed to the new model by {result.method}: {format_count(result.subjects, 'subject')} with"
        f" {format_count(result.templates, 'template')}"
    ]
    if result.left_out:
        lines.append(f"left out: {', '.join(result.left_out)}")
    if result.method == "captures":
        lines.append("take the private key of the captures away from this device: it opens the stored faces")
    lines.append(
        "next: put the new model file in place and restart the door; if it works, edge-sdk gallery migrate --confirm,"
        " otherwise --undo"
    )
    return Output(
        {
            "method": result.method,
            "subjects": result.subjects,
            "templates": result.templates,
            "left_out": list(result.left_out),
            "generation": result.generation,
        },
        "\n".join(lines),
    )
