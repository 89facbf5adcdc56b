"""``edge-sdk gallery``: key slots, erasure, anchor and transform."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from edge_sdk.cli.arguments import KEY_HELP, Output, add_gallery_command, format_count
from edge_sdk.cli.opening import open_gallery, resolve_key
from edge_sdk.errors import GalleryError

if TYPE_CHECKING:
    from edge_sdk.gallery import KeyProvider

_OTHER_KEY_HELP = "key of another slot, in the form of --key; repeat it for every slot except the one in use (default: none)"


def add_commands(commands: Any) -> None:
    """Add the commands for erasure, key slots, anchor and transform to the group `gallery`."""
    add = partial(add_gallery_command, commands)
    erase = add(
        "erase",
        "erase subjects and print a receipt",
        _erase,
        "alice --json",
        details="If the keys of all slots are given (--other-key), every slot gets a new slot key. The receipt states whether\n"
        "older copies are provably unreadable. This needs the keys of all slots, each in a TPM (tpm-nv).",
    )
    erase.add_argument("subjects", nargs="+", metavar="subject", help="names of enrolled subjects")
    add(
        "keys",
        "list the key slots",
        _keys,
        details="Print one line per slot: number, level of protection (0..4), kind of key, and whether it is in use.",
    )
    new = add(
        "add-key", "add a key that opens the gallery, such as a recovery passphrase", _add_key, "passphrase"
    )
    new.add_argument("new", help=f"key to add: {KEY_HELP}")
    remove = add(
        "remove-key",
        "remove a key, so that it no longer opens the gallery",
        _remove_key,
        "1",
        details="Every remaining slot gets a new slot key, and the key epoch, printed by gallery status, increases by 1.",
    )
    remove.add_argument(
        "slot", type=int, help="number of the slot to remove, 0..7, as printed by gallery keys"
    )
    for parser in (erase, remove):
        parser.add_argument("--other-key", action="append", default=[], metavar="KEY", help=_OTHER_KEY_HELP)
    rotate = add(
        "rotate-key",
        "replace all keys of the gallery; earlier keys no longer open it",
        _rotate_key,
        "--to new.key --to passphrase",
    )
    rotate.add_argument(
        "--to",
        action="append",
        required=True,
        metavar="KEY",
        help=f"new key; repeat --to for up to 8 keys: {KEY_HELP}",
    )
    anchor = add(
        "re-anchor",
        "accept this copy as the newest, although it does not match the anchor",
        _re_anchor,
        "--anchor home.anchor --yes",
        details="Use it after restoring a backup or losing the anchor. Changes made after this copy are lost: later enrolments are undone, and\n"
        "subjects that were revoked or erased later are accepted again.",
    )
    anchor.add_argument(
        "--yes",
        action="store_true",
        help="confirm the loss; without it the command only reports what would happen",
    )
    add(
        "renew-transform",
        "transform all templates with a new key, so that they cannot be linked to older copies",
        _renew_transform,
        details="Use it after a leak. Each renewal reduces the accuracy of int8 templates a little.",
    )


def _erase(arguments: argparse.Namespace) -> Output:
    gallery = open_gallery(arguments)
    receipt = gallery.erase(*arguments.subjects, keys=_resolve_other_keys(arguments))
    return Output(
        asdict(receipt),
        f"erased {receipt.count} in generation {receipt.generation}, key epoch {receipt.key_epoch}: {receipt.statement}",
    )


def _keys(arguments: argparse.Namespace) -> Output:
    slots = open_gallery(arguments).keys.slots()
    return Output(
        [asdict(slot) for slot in slots],
        "\n".join(f"{s.index}\tlevel {s.level}\t{s.name}" + ("\tin use" if s.in_use else "") for s in slots),
    )


def _add_key(arguments: argparse.Namespace) -> Output:
    gallery = open_gallery(arguments)
    gallery.keys.add(resolve_key(arguments.new, new=True, prompt="new passphrase"))
    slot = gallery.keys.slots()[-1]
    return Output(asdict(slot), f"slot {slot.index}: {slot.name}, level {slot.level}")


def _remove_key(arguments: argparse.Namespace) -> Output:
    gallery = open_gallery(arguments)
    gallery.keys.remove(arguments.slot, keep=_resolve_other_keys(arguments))
    epoch = gallery.status().key_epoch
    return Output(
        {"removed_slot": arguments.slot, "key_epoch": epoch},
        f"removed the key of slot {arguments.slot}; key epoch {epoch}",
    )


def _rotate_key(arguments: argparse.Namespace) -> Output:
    gallery = open_gallery(arguments)
    gallery.keys.rotate(*(resolve_key(word, new=True, prompt="new passphrase") for word in arguments.to))
    slots, epoch = gallery.keys.slots(), gallery.status().key_epoch
    return Output(
        {"key_epoch": epoch, "slots": [asdict(slot) for slot in slots]},
        f"key epoch {epoch}: {', '.join(slot.name for slot in slots)}; no other key opens it now",
    )


def _re_anchor(arguments: argparse.Namespace) -> Output:
    gallery = open_gallery(arguments, anchored=False)
    before = gallery.status()
    if not arguments.yes:
        raise GalleryError(
            f"this would make generation {before.generation} with {format_count(before.subjects, 'subject')} the newest:"
            " later enrolments are lost, and subjects that were revoked or erased later are accepted again",
            hint="list the subjects of this copy with gallery list, without --anchor; confirm with --yes",
        )
    gallery.keys.reanchor()
    after = gallery.status()
    return Output(
        {"from_generation": before.generation, "generation": after.generation, "subjects": after.subjects},
        f"generation {before.generation} is now generation {after.generation}, with"
        f" {format_count(after.subjects, 'subject')}; every other copy is refused",
    )


def _renew_transform(arguments: argparse.Namespace) -> Output:
    gallery = open_gallery(arguments)
    gallery.keys.renew_transform()
    status = gallery.status()
    return Output(
        {"generation": status.generation, "templates": status.templates},
        f"new transform for {format_count(status.templates, 'template')} in generation {status.generation}",
    )


def _resolve_other_keys(arguments: argparse.Namespace) -> list[KeyProvider]:
    return [resolve_key(word, prompt="other passphrase") for word in arguments.other_key]
