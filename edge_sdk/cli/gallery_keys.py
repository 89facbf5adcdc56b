"""``edge-sdk gallery``: key slots, erasure, anchor and transform."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_sdk import console
from edge_sdk.cli.arguments import (
    KEY_HELP,
    PROGRAM,
    Output,
    add_gallery_command,
    add_model_arguments,
    format_count,
)
from edge_sdk.cli.installed import record_anchor, record_key
from edge_sdk.cli.opening import new_keys, open_gallery, resolve_key
from edge_sdk.errors import GalleryError, ModelMismatchError

if TYPE_CHECKING:
    from edge_sdk.gallery import AddedKey, KeyProvider, KeySlot

# Slot types (docs/reference/gallery-format.md) whose word on the command line does not depend on the gallery.
_SLOT_KEY_FILE = 1
_KEY_WORDS = {2: "host", 3: "passphrase", 4: "pi-otp", 5: "tpm2", 9: "tpm-nv"}
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
        details="Print one line per slot: number, level of protection (0..4), kind of key, and whether it is in use. All possible\n"
        "levels are printed for a passphrase that is not in use, because only the passphrase itself shows its strength.\n"
        "Name and role are printed if they were given.",
    )
    new = add(
        "add-key",
        "add a key that opens the gallery, such as a recovery passphrase",
        _add_key,
        "passphrase",
        details="The earlier keys still open the gallery, so it is only as strong as its weakest key. If the new key is\n"
        "stronger than an earlier one, a warning on stderr contains the command that removes the weaker key.",
    )
    new.add_argument("new", help=f"key to add: {KEY_HELP}")
    name = add(
        "name-key",
        "give a key a name or a role",
        _name_key,
        "1 --name Ann --role recovery",
        details="Names and roles are information: they neither strengthen nor weaken a key. A new key of rotate-key has neither.",
    )
    name.add_argument("slot", type=int, help="number of the slot, 0..7, as printed by gallery keys")
    for parser, default in ((new, "none"), (name, "unchanged")):
        parser.add_argument(
            "--name",
            metavar="TEXT",
            help="name of the key, 0..64 bytes, unique in the gallery; an empty text for no name"
            f" (default: {default})",
        )
        parser.add_argument(
            "--role",
            choices=("owner", "device", "recovery", "none"),
            help="purpose of the key; owner: administration; device: opens the gallery without a person; recovery: kept"
            f" elsewhere for a loss of the others (default: {default})",
        )
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
        details="Use it after restoring a backup, losing the anchor, or to move to another anchor. Changes made after this copy are lost: later enrolments are undone, and\n"
        "subjects that were revoked or erased later are accepted again.",
    )
    anchor.add_argument(
        "--yes",
        action="store_true",
        help="confirm the loss; without it the command only reports what would happen",
    )
    anchor.add_argument(
        "--none",
        action="store_true",
        help="continue without an anchor: give no --anchor; an old copy is no longer noticed",
    )
    bind = add(
        "bind-model",
        "bind a gallery to the model's network and input contract instead of its file",
        _bind_model,
        "--model face.tflite",
        details="A gallery that edge-sdk 0.2 created is bound to the model file. Any change by a command with --model does the same.\n"
        "If evidence was written to the file after enrolment, its digest before that is computed and compared.",
    )
    add_model_arguments(bind, delegate=False)
    bind.add_argument(
        "--original",
        type=Path,
        metavar="FILE",
        help="the model file as it was when the gallery was created, if its card has changed since; it must have the same"
        " network and input contract (default: none)",
    )
    add(
        "renew-transform",
        "transform all templates with a new key, so that they cannot be linked to older copies",
        _renew_transform,
        details="Use it after a leak. Each renewal reduces the accuracy of int8 templates a little.",
    )


def _bind_model(arguments: argparse.Namespace) -> Output:
    from edge_sdk.model.model_file import ModelFile

    model = ModelFile.open(arguments.model, sha256=arguments.model_sha256)
    files = [bytes.fromhex(model.sha256_without_evidence())]
    if arguments.original is not None:
        original = ModelFile.open(arguments.original)
        if original.model_id.space != model.model_id.space:
            raise ModelMismatchError(
                f"{arguments.original} and {arguments.model} have different networks or input contracts",
                hint="their embeddings cannot be compared; enrol again with the new model",
            )
        files.append(bytes(original.model_id))
    gallery = open_gallery(arguments)
    bound = gallery.bind_model(model.model_id, files=files)
    status = gallery.status()
    text = f"bound to embedding space {status.model_id}" if bound else "bound to its embedding space already"
    return Output({"bound": bound, "model_id": status.model_id}, text)


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
        [_slot_as_json(slot) for slot in slots],
        "\n".join(
            f"{s.index}\tlevel {s.level_words}\t{s.name}" + ("\tin use" if s.in_use else "") + _named(s)
            for s in slots
        ),
    )


def _named(slot: KeySlot) -> str:
    """Return the role and name of a key as further columns; empty without them."""
    return (f"\trole {slot.role.value}" if slot.role.value != "none" else "") + (
        f"\tname {slot.given_name}" if slot.given_name else ""
    )


def _slot_as_json(slot: KeySlot) -> dict[str, Any]:
    return {**asdict(slot), "role": slot.role.value, "level_explanation": slot.level_explanation}


def _name_key(arguments: argparse.Namespace) -> Output:
    slot = open_gallery(arguments).keys.rename(arguments.slot, name=arguments.name, role=arguments.role)
    return Output(_slot_as_json(slot), f"slot {slot.index}: {slot.name}{_named(slot)}")


def _add_key(arguments: argparse.Namespace) -> Output:
    gallery = open_gallery(arguments)
    with new_keys(arguments.gallery, [arguments.new], prompt="new passphrase") as (key,):
        added = gallery.keys.add(key, name=arguments.name or "", role=arguments.role or "none")
    slot = added.slot
    if added.weakness:
        console.say(PROGRAM, f"warning: {added.weakness}; it protects at level {slot.level}")
    command = None
    if added.weaker and slot.role.value == "recovery":
        weaker = ", ".join(f"slot {weaker.index}" for weaker in added.weaker)
        console.say(
            PROGRAM,
            f"note: keep the recovery key elsewhere; the gallery stays as strong as its weakest key, {weaker}, which the device"
            " goes on using",
        )
    elif added.weaker:
        command = _removal_command(arguments, gallery.keys.slots(), added)
        names = ", ".join(f"the {weaker.name} of slot {weaker.index}" for weaker in added.weaker)
        console.say(
            PROGRAM,
            f"warning: {names} still opens the gallery, which is only as strong as its weakest key;"
            f" {_key_file_advice(arguments, added)}remove it with the command in the next line",
        )
        console.say(PROGRAM, f"hint: {command}")
    return Output(
        {
            **_slot_as_json(slot),
            "weakness": added.weakness,
            "weaker_slots": [weaker.index for weaker in added.weaker],
            "removal_command": command,
        },
        f"slot {slot.index}: {slot.name}, level {slot.level}{_named(slot)}",
    )


def _key_file_advice(arguments: argparse.Namespace, added: AddedKey) -> str:
    """Return which file to delete after the removal; empty if no weaker key is a file."""
    files = [slot for slot in added.weaker if slot.type == _SLOT_KEY_FILE]
    name = arguments.key if any(slot.in_use for slot in files) else "the key file"
    return f"delete {name} after the removal, because it opens older copies; " if files else ""


def _removal_command(arguments: argparse.Namespace, slots: Sequence[KeySlot], added: AddedKey) -> str:
    """Return one command line that leaves no key weaker than the added one.

    A single weaker key is removed. If there are more, or if the word for another key is not known, all keys are replaced
    by the added one and by those other keys whose words are known.
    """
    words = {slot.index: _KEY_WORDS.get(slot.type) for slot in slots}
    words[added.slot.index] = arguments.new
    words |= {slot.index: arguments.key for slot in slots if slot.in_use}
    removed = {slot.index for slot in added.weaker}
    kept = [slot.index for slot in slots if slot.index not in removed | {added.slot.index}]
    if len(removed) == 1 and None not in (words[index] for index in kept):
        change, key = ["remove-key", str(added.weaker[0].index)], arguments.new
        options = [item for index in kept for item in ("--other-key", str(words[index]))]
    else:
        change, key = ["rotate-key"], arguments.key
        new = [arguments.new, *(words[index] for index in kept)]
        options = [item for word in new if word is not None for item in ("--to", word)]
    anchor = [] if arguments.anchor is None else ["--anchor", arguments.anchor]
    files = ["--gallery", str(arguments.gallery), "--key", key, *anchor]
    return shlex.join([PROGRAM, "gallery", *change, *options, *files])


def _remove_key(arguments: argparse.Namespace) -> Output:
    gallery = open_gallery(arguments)
    gallery.keys.remove(arguments.slot, keep=_resolve_other_keys(arguments))
    record_key(arguments, arguments.key)
    epoch = gallery.status().key_epoch
    return Output(
        {"removed_slot": arguments.slot, "key_epoch": epoch},
        f"removed the key of slot {arguments.slot}; key epoch {epoch}",
    )


def _rotate_key(arguments: argparse.Namespace) -> Output:
    gallery = open_gallery(arguments)
    with new_keys(arguments.gallery, arguments.to, prompt="new passphrase") as keys:
        gallery.keys.rotate(*keys)
    record_key(arguments, arguments.to[0])
    slots, epoch = gallery.keys.slots(), gallery.status().key_epoch
    return Output(
        {"key_epoch": epoch, "slots": [_slot_as_json(slot) for slot in slots]},
        f"key epoch {epoch}: {', '.join(slot.name for slot in slots)}; no other key opens it now",
    )


def _re_anchor(arguments: argparse.Namespace) -> Output:
    if arguments.none and arguments.anchor is not None and "anchor" not in arguments.taken:
        arguments.parser.error("give either --anchor or --none, found both")
    if arguments.none:
        arguments.anchor = None
    gallery = open_gallery(arguments, anchored=False)
    before = gallery.status()
    if not arguments.yes:
        raise GalleryError(
            f"this would make generation {before.generation} with {format_count(before.subjects, 'subject')} the newest:"
            " later enrolments are lost, and subjects that were revoked or erased later are accepted again",
            hint="list the subjects of this copy with gallery list, without --anchor; confirm with --yes",
        )
    if arguments.none:
        gallery.keys.remove_anchor()
    else:
        gallery.keys.reanchor()
    record_anchor(arguments, arguments.anchor)
    after = gallery.status()
    return Output(
        {"from_generation": before.generation, "generation": after.generation, "subjects": after.subjects},
        f"generation {before.generation} is now generation {after.generation}, with"
        f" {format_count(after.subjects, 'subject')}; "
        + ("an old copy is no longer noticed" if arguments.none else "every other copy is refused"),
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
