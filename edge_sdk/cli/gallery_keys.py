"""``edge-sdk gallery``: its keys, its anchor, its transform, and erasure."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edge_sdk.cli.arguments import add_command, add_gallery_arguments, counted, open_gallery, tell
from edge_sdk.cli.keys import KEY_HELP, key_named
from edge_sdk.errors import GalleryError

if TYPE_CHECKING:
    from edge_sdk.gallery import KeyProvider

_FILES = "--gallery home.gallery --key home.key"
_OTHER_KEY = "another key of the gallery, for a slot besides the one in use; more than once for several"


def add_commands(rooms: Any) -> None:
    """Add the commands to the group."""
    erase = add_command(
        rooms,
        "erase",
        "take subjects out, shut older copies away as far as the keys allow, print a receipt",
        _erase,
        example=f"gallery erase alice {_FILES} --json",
    )
    erase.add_argument("subjects", nargs="+", metavar="subject", help="the names they were enrolled by")
    keys = add_command(rooms, "keys", "list the keys that open it", _keys, example=f"gallery keys {_FILES}")
    add = add_command(
        rooms,
        "add-key",
        "let one more key open the gallery, such as a recovery passphrase",
        _add_key,
        example=f"gallery add-key passphrase {_FILES}",
    )
    add.add_argument("new", help=KEY_HELP)
    remove = add_command(
        rooms,
        "remove-key",
        "take a key away, in a new key epoch",
        _remove_key,
        example=f"gallery remove-key 1 {_FILES}",
    )
    remove.add_argument("slot", type=int, help="its number, as gallery keys prints it")
    for parser in (erase, remove):
        parser.add_argument("--other-key", action="append", default=[], metavar="KEY", help=_OTHER_KEY)
    rotate = add_command(
        rooms,
        "rotate-key",
        "seal the gallery for new keys; every key from before opens it no more",
        _rotate_key,
        example=f"gallery rotate-key {_FILES} --to new.key --to passphrase",
    )
    rotate.add_argument(
        "--to",
        action="append",
        required=True,
        metavar="KEY",
        help=f"{KEY_HELP}; more than once for several",
    )
    anchor = add_command(
        rooms,
        "re-anchor",
        "go on from a gallery that its anchor refuses: a backup, or one whose anchor is lost; what came after it is lost",
        _re_anchor,
        example=f"gallery re-anchor {_FILES} --anchor home.anchor --yes",
    )
    anchor.add_argument(
        "--yes", action="store_true", help="the owner has decided; without it nothing is done"
    )
    renew = add_command(
        rooms,
        "renew-transform",
        "give the templates a new transform key, unrelated to every older copy",
        _renew_transform,
        example=f"gallery renew-transform {_FILES}",
    )
    for parser in (erase, keys, add, remove, rotate, anchor, renew):
        add_gallery_arguments(parser)


def _erase(arguments: argparse.Namespace) -> int:
    gallery = open_gallery(arguments)
    receipt = gallery.erase(*arguments.subjects, keys=_others(arguments))
    tell(
        arguments,
        asdict(receipt),
        f"erased {receipt.count} in generation {receipt.generation}, key epoch {receipt.key_epoch}: {receipt.statement}",
    )
    return 0


def _keys(arguments: argparse.Namespace) -> int:
    slots = open_gallery(arguments).key_slots()
    tell(
        arguments,
        [asdict(slot) for slot in slots],
        "\n".join(f"{s.index}\tlevel {s.level}\t{s.name}" + ("\tin use" if s.in_use else "") for s in slots),
    )
    return 0


def _add_key(arguments: argparse.Namespace) -> int:
    gallery = open_gallery(arguments)
    gallery.add_key(key_named(arguments.new, new=True, prompt="new passphrase"))
    slot = gallery.key_slots()[-1]
    tell(arguments, asdict(slot), f"slot {slot.index}: {slot.name}, level {slot.level}")
    return 0


def _remove_key(arguments: argparse.Namespace) -> int:
    gallery = open_gallery(arguments)
    gallery.remove_key(arguments.slot, keep=_others(arguments))
    epoch = gallery.status().key_epoch
    tell(
        arguments,
        {"removed_slot": arguments.slot, "key_epoch": epoch},
        f"removed the key of slot {arguments.slot}; key epoch {epoch}",
    )
    return 0


def _rotate_key(arguments: argparse.Namespace) -> int:
    gallery = open_gallery(arguments)
    gallery.rotate_key(*(key_named(word, new=True, prompt="new passphrase") for word in arguments.to))
    slots, epoch = gallery.key_slots(), gallery.status().key_epoch
    tell(
        arguments,
        {"key_epoch": epoch, "slots": [asdict(slot) for slot in slots]},
        f"key epoch {epoch}: {', '.join(slot.name for slot in slots)}; no other key opens it now",
    )
    return 0


def _re_anchor(arguments: argparse.Namespace) -> int:
    gallery = open_gallery(arguments, anchored=False)
    before = gallery.status()
    if not arguments.yes:
        raise GalleryError(
            f"this would make generation {before.generation} with {counted(before.subjects, 'subject')} the newest: who was "
            "enrolled since is out, and who was revoked or erased since is back",
            hint="gallery list without --anchor shows who that is; if it is what you want, say --yes",
        )
    gallery.reanchor()
    after = gallery.status()
    tell(
        arguments,
        {"from_generation": before.generation, "generation": after.generation, "subjects": after.subjects},
        f"generation {before.generation} is generation {after.generation} now, with {counted(after.subjects, 'subject')}; "
        "every other copy is refused",
    )
    return 0


def _renew_transform(arguments: argparse.Namespace) -> int:
    gallery = open_gallery(arguments)
    gallery.renew_transform()
    status = gallery.status()
    tell(
        arguments,
        {"generation": status.generation, "templates": status.templates},
        f"new transform for {counted(status.templates, 'template')} in generation {status.generation}",
    )
    return 0


def _others(arguments: argparse.Namespace) -> list[KeyProvider]:
    return [key_named(word, prompt="other passphrase") for word in arguments.other_key]
