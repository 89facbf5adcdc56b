"""``edge-sdk gallery``: stored captures, and the change of a gallery's model."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_sdk import console
from edge_sdk.cli.arguments import (
    PROGRAM,
    Output,
    add_command,
    add_gallery_command,
    format_count,
    show_progress,
)
from edge_sdk.cli.installed import installation_of
from edge_sdk.cli.opening import open_gallery

if TYPE_CHECKING:
    from edge_sdk.gallery import Gallery
    from edge_sdk.gallery.components.captures import CapturesStatus
    from edge_sdk.gallery.migration.results import MigrationResult
    from edge_sdk.vision.embedder import Embedder


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
        "for confirmation. In an installation: gallery migrate --kit NEW.edgekit --captures-key captures.key, then setup\n"
        "NEW.edgekit, which keeps the earlier networks until --confirm; --undo installs them again.",
    )
    step = migrate.add_mutually_exclusive_group()
    step.add_argument(
        "--model",
        type=Path,
        metavar="FILE",
        help="new model made by edge-convert (.tflite) (default: none; print what waits for confirmation)",
    )
    step.add_argument(
        "--kit", type=Path, metavar="KIT", help="kit with the new model (.edgekit) (default: none)"
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
        help="private key of the stored captures, made by gallery captures-key; use it with --model or --kit (default: none)",
    )
    source.add_argument(
        "--map",
        type=Path,
        metavar="FILE",
        help="map from the gallery's model to the new one, made by edge-convert map; refused if its measured loss is above"
        " 1 point of FNMR; use it with --model or --kit (default: none)",
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
    from edge_sdk.gallery.captures.keys import private_beside, read_recipient

    gallery = open_gallery(arguments)
    if arguments.recipient is not None:
        gallery.captures.switch_on(read_recipient(arguments.recipient))
        private = private_beside(arguments.recipient)
        if private is not None:
            console.say(
                PROGRAM,
                f"warning: the private key {private} is in the same folder as the public one: take it away from this device",
            )
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
    changes = arguments.model is not None or arguments.kit is not None
    if further and not changes:
        arguments.parser.error(
            "give --model or --kit with --captures-key, --map, --leave-out and --allow-duplicates"
        )
    if changes and not sources:
        arguments.parser.error("give --captures-key or --map with --model or --kit")
    gallery = open_gallery(arguments)
    if arguments.confirm:
        return _confirm(arguments, gallery)
    if arguments.undo:
        return _undo(arguments, gallery)
    if not changes:
        pending = gallery.migration.pending()
        if pending is None:
            return Output({"pending": None}, "no change of the model waits for confirmation")
        return Output(
            {"pending": asdict(pending)},
            f"the change from model {pending.model_id[:8]} (generation {pending.generation}, by {pending.method}) waits for"
            " --confirm or --undo",
        )
    return _changed(arguments, _change(arguments, gallery))


def _confirm(arguments: argparse.Namespace, gallery: Gallery) -> Output:
    from edge_sdk.door.other_network import remove_kept, require_network_of

    installation = installation_of(arguments)
    if installation is not None:
        require_network_of(gallery, installation)
    gallery.migration.confirm()
    if installation is not None:
        remove_kept(installation)
    return Output({"confirmed": True}, "confirmed: the new model is kept, the state before is removed")


def _undo(arguments: argparse.Namespace, gallery: Gallery) -> Output:
    from edge_sdk.door.other_network import holds_network_of, kept, put_back

    installation = installation_of(arguments)
    before = None if installation is None else kept(installation)
    # After an interrupted undo only the networks are left to put back.
    interrupted = before is not None and holds_network_of(gallery, before)
    if gallery.migration.pending() is not None or not interrupted:
        gallery.migration.undo()
    earlier = None if installation is None else put_back(installation, gallery)
    status = gallery.status()
    if earlier is not None:
        use = f"kit {earlier.kit.name} {earlier.kit.version} is installed again; restart the door"
    elif installation is not None and not holds_network_of(gallery, installation):
        use = "install the kit of that network: edge-sdk setup KIT"
    else:
        use = "use that model's file"
    return Output(
        {"undone": True, "model_id": status.model_id, "generation": status.generation},
        f"undone: the gallery holds templates of model {status.model_id[:8]} again; {use}",
    )


def _change(arguments: argparse.Namespace, gallery: Gallery) -> MigrationResult:
    from edge_sdk.gallery.captures.keys import CapturesKey
    from edge_sdk.gallery.migration.space_map import read_map

    leave_out, allow_duplicates = arguments.leave_out, arguments.allow_duplicates
    # The map is read first, so that a map that loses too much is refused before the model is opened.
    if arguments.map is not None:
        space_map = read_map(arguments.map)
        space_map.require_usable()
        with _new_embedder(arguments) as embedder:
            return gallery.migration.with_map(
                embedder, space_map, leave_out=leave_out, allow_duplicates=allow_duplicates
            )
    key = CapturesKey.read(arguments.captures_key)
    with (
        _new_embedder(arguments) as embedder,
        show_progress("subjects {done:.0f} of {total:.0f}") as progress,
    ):
        return gallery.migration.with_captures(
            embedder, key, leave_out=leave_out, allow_duplicates=allow_duplicates, progress=progress
        )


@contextlib.contextmanager
def _new_embedder(arguments: argparse.Namespace) -> Iterator[Embedder]:
    """Open the new model: a file, or the embedder of a kit."""
    from edge_sdk.kit import KitFile
    from edge_sdk.vision.embedder import Embedder

    if arguments.kit is None:
        yield Embedder.open(arguments.model)
        return
    kit = KitFile.open(arguments.kit)
    member = kit.manifest.embedder
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / member.file
        path.write_bytes(kit.read(member))
        yield Embedder.open(path, sha256=member.sha256)


def _changed(arguments: argparse.Namespace, result: MigrationResult) -> Output:
    lines = [
        f"changed to the new model by {result.method}: {format_count(result.subjects, 'subject')} with"
        f" {format_count(result.templates, 'template')}"
    ]
    if result.left_out:
        lines.append(f"left out: {', '.join(result.left_out)}")
    lines += [
        f"look without captures, left out: {look} of {name}; add the pictures again with --add"
        for name, look in result.looks_left_out
    ]
    lines += [
        f"no captures of the enrolment of {name} are stored: the pictures of the look {look} are the enrolment now"
        for name, look in result.looks_enrolled
    ]
    if result.method == "captures":
        lines.append("take the private key of the captures away from this device: it opens the stored faces")
    place = "put the new model file in place"
    if installation_of(arguments) is not None:
        place = f"edge-sdk setup {'KIT' if arguments.kit is None else shlex.quote(str(arguments.kit))}"
    lines.append(
        f"next: {place} and restart the door; if it works, edge-sdk gallery migrate --confirm, otherwise --undo"
    )
    return Output(
        asdict(result),
        "\n".join(lines),
    )
