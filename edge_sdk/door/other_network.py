"""Change the network of an installation while its gallery can still return to the earlier one.

`gallery migrate` changes the gallery, `setup` then installs the networks of the new kit. Until the change is confirmed, the
networks of the earlier kit are kept in the folder `before`, with their `installation.json`.
"""

from __future__ import annotations

import hashlib
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

from edge_sdk.door.folder import make_private, sync, write_read_only
from edge_sdk.door.installation import Installation
from edge_sdk.door.installed_parts import BEFORE, FILE_NAME, LOCK
from edge_sdk.errors import EdgeSdkError, InputError, ModelMismatchError
from edge_sdk.gallery import Gallery, PinnedNetworks
from edge_sdk.gallery.store.files import PosixFileSystem, locked
from edge_sdk.model.model_file import ModelFile, read_model_bytes

_MOST_NAMES = 5


def ways_to_another_network(gallery: Gallery, kit: Path, *, options: str = "") -> str:
    """Return the commands that bring a gallery with enrolled people to the network of a kit.

    Args:
        gallery: The gallery, whose templates are of another network.
        kit: File of the kit.
        options: Options of the command line that select the installation.
    """
    file = shlex.quote(str(kit))
    if gallery.migration.pending() is not None:
        return (
            "a change of the gallery's model waits: install the kit of its new network, or return to the earlier one with"
            f" edge-sdk gallery migrate --undo{options}"
        )
    status = gallery.captures.status()
    again = f"enrol everybody again in another folder: edge-sdk setup {file} --installation FOLDER"
    if not status.subjects:
        return (
            "the networks stay as they are; no captures are stored, so the templates can only be mapped, if a map of the two"
            f" networks is good enough (edge-sdk gallery migrate --kit {file} --map FILE{options}), or {again}"
        )
    left_out = "".join(f" --leave-out {shlex.quote(name)}" for name in status.without[:_MOST_NAMES])
    more = len(status.without) - _MOST_NAMES
    enrolled = len(status.subjects) + len(status.without)
    command = f"edge-sdk gallery migrate --kit {file} --captures-key captures.key{left_out}{options}"
    return (
        f"captures of {len(status.subjects)} of {enrolled} people are stored: {command}, then setup again"
        + (f"; {more} more people have no captures and need --leave-out" if more > 0 else "")
        + ("; those who are left out enrol again" if status.without else "")
    )


def keep_networks(installation: Installation, gallery: Gallery, *, new_kit: str) -> str | None:
    """Keep the networks of an installation if the gallery was changed from their model and the change is not confirmed.

    Args:
        installation: The installation before the new kit.
        gallery: Its gallery.
        new_kit: SHA-256 of the kit that is going to be installed.

    Returns:
        What was done, in words; None if nothing had to be done.
    """
    place = installation.folder / BEFORE
    pending = gallery.migration.pending()
    if pending is None:
        remove_kept(installation)
        return None
    if installation.kit.sha256 == new_kit or _is_of(kept(installation), pending.model_id):
        return None
    remove_kept(installation)
    earlier = replace(installation, folder=place)
    contents = {network.file: _as_installed(installation, network.file) for network in earlier.networks}
    missing = [file for file, content in contents.items() if content is None]
    if missing:
        return (
            f"earlier networks not kept, because {', '.join(missing)} is not the installed file any more: to undo the change,"
            f" install kit {installation.kit.name} {installation.kit.version} again"
        )
    make_private(place)
    for file, content in contents.items():
        write_read_only(place / file, content or b"")
    # Written last: without it the folder does not count.
    earlier.write()
    if not _is_of(kept(installation), pending.model_id):
        remove_kept(installation)
        return None
    return f"earlier networks kept in {BEFORE}, until the change of the model is confirmed"


def kept(installation: Installation) -> Installation | None:
    """Return the installation of the earlier networks, with their folder; None if there are none."""
    try:
        return Installation.read(installation.folder / BEFORE)
    except InputError:
        return None


def put_back(installation: Installation, gallery: Gallery) -> Installation | None:
    """Install the kept networks again, and pin them; an interrupted call is completed by the next one.

    Args:
        installation: The installation.
        gallery: Its gallery, after the change of the model was undone.

    Returns:
        The installation afterwards; None if no networks of the gallery's model are kept.

    Raises:
        ModelMismatchError: A kept network is not the one that was installed.
        ModelError: A kept network cannot be read.
    """
    from edge_sdk.vision.detector import Detector
    from edge_sdk.vision.liveness import MiniFasNet

    with locked(PosixFileSystem(), installation.folder / LOCK):
        earlier = kept(installation)
        if earlier is None or not holds_network_of(gallery, earlier):
            return None
        contents = {network.file: _as_installed(earlier, network.file) for network in earlier.networks}
        for file, content in contents.items():
            if content is None:
                raise ModelMismatchError(
                    f"{earlier.folder / file} is not the file that was installed",
                    hint=f"install kit {earlier.kit.name} {earlier.kit.version} again with edge-sdk setup",
                )
        detector = None if earlier.detector is None else Detector.open(earlier.detector)
        pad = MiniFasNet.open(*earlier.liveness) if earlier.liveness else None
        if detector is not None or pad is not None:
            networks = PinnedNetworks.of(detector, pad)
            pinned = gallery.networks
            if pinned is None or (pinned.detector, pinned.liveness) != (networks.detector, networks.liveness):
                with gallery.transaction() as transaction:
                    transaction.pin_networks(networks)
        for file, content in contents.items():
            write_read_only(installation.folder / file, content or b"")
        result = replace(
            installation,
            kit=earlier.kit,
            networks=earlier.networks,
            detector_file=earlier.detector_file,
            accepted=earlier.accepted,
        )
        result.write()
        for network in installation.networks:
            if network.file not in contents:
                (installation.folder / network.file).unlink(missing_ok=True)
        remove_kept(installation)
        return result


def holds_network_of(gallery: Gallery, installation: Installation) -> bool:
    """Tell if a gallery's templates are of the installed embedder."""
    try:
        gallery.require_model(ModelFile.open(installation.model).model_id)
    except EdgeSdkError:
        return False
    return True


def require_network_of(gallery: Gallery, installation: Installation) -> None:
    """Refuse to confirm a change of the model before the network of the new model is installed.

    Raises:
        ModelMismatchError: The gallery's templates are of another network than the installed embedder.
    """
    if gallery.migration.pending() is not None and not holds_network_of(gallery, installation):
        raise ModelMismatchError(
            f"expected the network of the new model in {installation.folder}, found the earlier one; nothing was confirmed",
            hint="install its kit first: edge-sdk setup KIT; or return to the earlier model with --undo",
        )


def remove_kept(installation: Installation) -> None:
    """Remove the networks of the earlier kit; nothing if there are none."""
    place = installation.folder / BEFORE
    if place.is_dir() and not place.is_symlink():
        (place / FILE_NAME).unlink(missing_ok=True)
        shutil.rmtree(place, ignore_errors=True)
        sync(installation.folder)


def _is_of(installation: Installation | None, model_id: str) -> bool:
    """Tell if the embedder of an installation is the model with an id in hex: of its file, or of its embedding space."""
    if installation is None:
        return False
    try:
        model = ModelFile.open(installation.model).model_id
    except EdgeSdkError:
        return False
    return model_id in (model.hex(), model.space.hex())


def _as_installed(installation: Installation, file: str) -> bytes | None:
    """Return the content of a network; None if it is missing or not the file that was installed."""
    digest = next(network.sha256 for network in installation.networks if network.file == file)
    try:
        content = read_model_bytes(installation.folder / file)
    except EdgeSdkError:
        return None
    return content if hashlib.sha256(content).hexdigest() == digest else None
