"""Checks of an installation besides its model and its gallery: files, modes, detector and liveness networks."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING

from edge_sdk.diagnostics.doctor.check_result import CheckResult, fail, ok, warn
from edge_sdk.door.installation import ENVIRONMENT, Installation
from edge_sdk.door.installed_parts import FILE_NAME, InstalledNetwork
from edge_sdk.errors import EdgeSdkError, ModelMismatchError
from edge_sdk.model.model_file import ModelFile, read_model_bytes

if TYPE_CHECKING:
    from edge_sdk.gallery import Gallery

_SET_UP_AGAIN = "install the kit again: edge-sdk setup KIT"


def check_installation(installation: Installation) -> Iterator[CheckResult]:
    """Check the files of an installation, and open its face detector and liveness networks.

    The embedder and the gallery are checked by `check_model` and `check_gallery`.
    """
    kit = f"{installation.folder}, kit {installation.kit.name} {installation.kit.version}"
    if installation.door:
        yield ok("installation", f"{kit}, for a door")
    else:
        yield ok("installation", f"{kit}, without a decision policy for a door")
    mode = stat.S_IMODE(installation.folder.stat().st_mode)
    if mode & 0o077:
        yield warn(
            "installation's folder",
            f"expected mode 0700, found {mode:04o}: other users can read it",
            f"chmod 700 {installation.folder}",
        )
    yield from _check_digests(installation)
    yield from _check_networks(installation)


def check_pinned(installation: Installation, gallery: Gallery) -> Iterator[CheckResult]:
    """Check that a gallery pins the detector and the liveness networks of an installation, as a recognizer checks it."""
    from edge_sdk.vision.detector import Detector
    from edge_sdk.vision.liveness import MiniFasNet

    if gallery.networks is None or installation.detector is None:
        return
    try:
        detector = Detector.open(installation.detector)
        pad = MiniFasNet.open(*installation.liveness) if installation.liveness else None
    except EdgeSdkError:
        return  # _check_networks has reported it
    try:
        gallery.networks.check(detector, pad)
    except ModelMismatchError as error:
        yield fail("pinned networks", str(error), _SET_UP_AGAIN)


def missing_installation() -> Iterator[CheckResult]:
    """Report a folder in the environment that contains no installation."""
    folder = os.environ.get(ENVIRONMENT)
    if folder:
        yield fail("installation", f"{ENVIRONMENT} names {folder}, found no {FILE_NAME} there", _SET_UP_AGAIN)


def _check_digests(installation: Installation) -> Iterator[CheckResult]:
    whole = True
    for network in installation.networks:
        try:
            digest = hashlib.sha256(read_model_bytes(installation.folder / network.file)).hexdigest()
        except EdgeSdkError as error:
            whole = False
            yield fail(network.file, str(error), _SET_UP_AGAIN)
            continue
        if digest != network.sha256:
            whole = False
            yield _another_file(installation, network, digest)
    if whole:
        count = len(installation.networks)
        yield ok("networks", f"{count} {'file' if count == 1 else 'files'} as installed")


def _another_file(installation: Installation, network: InstalledNetwork, digest: str) -> CheckResult:
    """Report a file that is not the installed one: damaged, or a complete model file that somebody put in its place."""
    path = installation.folder / network.file
    message = f"expected SHA-256 {network.sha256[:12]}..., found {digest[:12]}..."
    try:
        if path == installation.model:
            ModelFile.open(path)
            message += ", a complete model file of another kit"
            return fail(network.file, message, "install the kit that contains it: edge-sdk setup NEW.edgekit")
    except EdgeSdkError:
        pass
    return fail(network.file, message, f"the file is damaged or was replaced; {_SET_UP_AGAIN}")


def _check_networks(installation: Installation) -> Iterator[CheckResult]:
    from edge_sdk.vision.detector import Detector
    from edge_sdk.vision.liveness import MiniFasNet

    if installation.detector is None:
        yield ok("detector", "none: images are aligned crops")
    else:
        try:
            Detector.open(installation.detector)
        except EdgeSdkError as error:
            yield fail("detector", str(error), error.hint or _SET_UP_AGAIN)
        else:
            yield ok("detector", installation.detector.name)
    if installation.liveness:
        try:
            MiniFasNet.open(*installation.liveness)
        except EdgeSdkError as error:
            yield fail("liveness", str(error), error.hint or _SET_UP_AGAIN)
        else:
            yield ok("liveness", ", ".join(path.name for path in installation.liveness))
    elif installation.detector is not None:
        yield warn(
            "liveness",
            "no liveness networks: a picture of a person is accepted in place of the person",
            "use a kit with liveness networks, or the lock only if this is acceptable",
        )
