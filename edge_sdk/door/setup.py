"""Install a kit: networks, key, gallery, anchor, decision policy and limit of attempts, in one folder.

The order makes every interruption harmless. Everything is checked before the first change. The gallery gets its policy,
its limit and its pinned networks in one commit. `installation.json` is written last, so that no command uses a gallery
that lacks something. The next run keeps what is there and does the missing steps.
"""

from __future__ import annotations

import contextlib
import shlex
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_sdk.cameras import camera_named
from edge_sdk.door.folder import is_at, make_private, private_folder, sync, write_read_only
from edge_sdk.door.installation import ROTATIONS, Installation
from edge_sdk.door.installed_parts import (
    ANCHOR_FILE,
    FILE_NAME,
    GALLERY_FILE,
    KEY_FILE,
    LOCK,
    STAGING,
    TEXTS,
    AcceptedLicences,
    InstalledKit,
    InstalledNetwork,
    is_written_by_setup,
)
from edge_sdk.door.licences import LicencesRefusedError, LicenceTerms
from edge_sdk.door.named import anchor_named, key_named
from edge_sdk.door.other_network import keep_networks
from edge_sdk.door.provision import (
    DoorRules,
    holds_model,
    key_for,
    limits_in_words,
    open_existing,
    rules_for,
    set_aside,
)
from edge_sdk.door.words import names_anchor_file, names_key_file, stored_word, usable_word
from edge_sdk.errors import InputError
from edge_sdk.gallery import Gallery, KeyProvider, PinnedNetworks
from edge_sdk.kit.bundle import KitFile
from edge_sdk.kit.manifest import KitMember, Role
from edge_sdk.model.model_file import ModelFile
from edge_sdk.runtime.threads import thread_count

#: Files by which a folder is recognized as an installation, also an interrupted or a manual one.
_KNOWN = (FILE_NAME, GALLERY_FILE, KEY_FILE)


@dataclass(frozen=True)
class SetupOptions:
    """Choices of a person who installs a kit; what is not chosen stays as it is, or gets its default.

    Args:
        folder: Folder of the installation; None for the default folder.
        door: True if the gallery must have what a door lock needs: a decision policy and a limit of attempts.
        fpir: False positive identification rate of the policy, above 0 and below 1; None for the stored one or the kit's.
        camera: Camera by name; None for the stored one, or the one that this computer has.
        rotate: Clockwise turn of the camera's picture: 0, 90, 180 or 270.
        key: Key of the gallery as a word of the command line; None for the stored one, or a key file in the folder.
        anchor: Anchor as a word of the command line; None for the stored one, or a file in the folder.
        threads: Number of threads of each network, 1 or more; None for the stored one, or the device's default.
    """

    folder: Path | None = None
    door: bool = False
    fpir: float | None = None
    camera: str | None = None
    rotate: int | None = None
    key: str | None = None
    anchor: str | None = None
    threads: int | None = None


@dataclass(frozen=True)
class SetupResult:
    """Result of an installation.

    Args:
        installation: The installation.
        changes: What was done, in words; empty if everything was there already.
        limits: What policy and limit of attempts mean, in people and presses.
        not_covered: Uses for which the kit's evidence is not enough.
        waits: True if a change of the gallery's model waits for confirmation.
    """

    installation: Installation
    changes: tuple[str, ...]
    limits: tuple[str, ...]
    not_covered: tuple[str, ...]
    waits: bool = False


def set_up(
    kit: KitFile,
    options: SetupOptions,
    *,
    accept: Callable[[LicenceTerms], bool],
    passphrase: Callable[[bool], str] | None = None,
    clock: Callable[[], float] = time.time,
) -> SetupResult:
    """Install a kit, or bring an installation up to date with it.

    Args:
        kit: The kit.
        options: Choices of the person.
        accept: Shows the licences and returns True if they are accepted; not called for licences that were accepted before.
        passphrase: Returns the passphrase of the gallery; its argument is True for a new one.
        clock: Unix seconds, for the record of the acceptance.

    Raises:
        LicencesRefusedError: The licences were not accepted; nothing was installed.
        InputError: An option is out of range or contradicts another one, or the folder contains other files.
        ModelError: A network of the kit cannot be used, or its evidence supports no decision policy.
        ModelMismatchError: People are enrolled whose templates are of another embedding space; nothing was changed.
        GalleryError: The gallery cannot be opened, created or changed.
    """
    folder = (options.folder or Installation.default_folder()).absolute()
    model = ModelFile.parse(kit.read(kit.manifest.embedder), kit.manifest.embedder.file)
    _check_options(kit, options)
    with private_folder(folder, lock=LOCK, known=_KNOWN):
        return _Setup(kit, options, folder, model).run(accept, passphrase, clock)


class _Setup:
    """One run of the setup, under the folder's lock."""

    def __init__(self, kit: KitFile, options: SetupOptions, folder: Path, model: ModelFile) -> None:
        self.kit, self.options, self.folder, self.model = kit, options, folder, model
        self.changes: list[str] = []
        self.existing: Installation | None = None
        if (folder / FILE_NAME).exists():
            with contextlib.suppress(InputError):  # a damaged file is written anew
                self.existing = Installation.read(folder)
        self.door = options.door or (self.existing is not None and self.existing.door)
        self.path = folder / GALLERY_FILE
        self.key_word = self._key_word()
        self.anchor_word = self._anchor_word()
        self._check_places()

    def run(
        self,
        accept: Callable[[LicenceTerms], bool],
        passphrase: Callable[[bool], str] | None,
        clock: Callable[[], float],
    ) -> SetupResult:
        """Check everything, then change what is missing."""
        if self.options.fpir is not None and not self.door:
            raise InputError(
                "expected a door lock for a rate of accepted strangers, found none", hint="add --door"
            )
        is_new = not self.path.exists()
        key = self._named_key(passphrase, is_new=is_new)
        gallery = None if is_new else self._open(key or key_named(usable_word(self.key_word, self.folder)))
        if gallery is not None and not holds_model(gallery, self.model, self.kit, options=self._selection()):
            gallery = None
        terms = LicenceTerms.of(self.kit)
        accepted = self._accepted(terms, accept, clock)
        with self._staged_networks() as (staged, networks):
            rules = rules_for(
                gallery,
                self.model,
                self.kit.manifest,
                door=self.door,
                fpir=self.options.fpir,
                networks=networks,
            )
            if gallery is None:
                gallery = self._create(key, networks)
            self._keep_networks(gallery)
            self._store(rules, gallery)
            self._move(staged)
        self._write_texts()
        installation = self._finish(accepted)
        return SetupResult(
            installation,
            tuple(self.changes),
            limits_in_words(gallery, self.model),
            self.kit.manifest.limits,
            waits=gallery.migration.pending() is not None,
        )

    def _open(self, key: KeyProvider) -> Gallery:
        gallery, anchor = open_existing(
            self.path, key, self._anchor(), default=usable_word(f"./{ANCHOR_FILE}", self.folder)
        )
        if self.anchor_word is None and anchor is not None:
            self.anchor_word = stored_word(anchor, self.folder)
        return gallery

    def _selection(self) -> str:
        """Return the options that select this installation on a command line."""
        is_default = self.folder == Installation.default_folder().absolute()
        return "" if is_default else f" --installation {shlex.quote(str(self.folder))}"

    def _keep_networks(self, gallery: Gallery) -> None:
        """Keep the networks of the earlier kit as long as a change of the gallery's model can be undone."""
        if self.existing is not None:
            change = keep_networks(self.existing, gallery, new_kit=self.kit.sha256)
            self.changes += [] if change is None else [change]

    def _key_word(self) -> str:
        word = self.options.key
        if word is None:
            return f"./{KEY_FILE}" if self.existing is None else self.existing.key_word
        return stored_word(word, self.folder) if names_key_file(word) else word

    def _anchor_word(self) -> str | None:
        word = self.options.anchor
        if word is not None:
            return stored_word(word, self.folder) if names_anchor_file(word) else word
        if self.existing is not None:
            return self.existing.anchor_word
        # A gallery that was created by hand without an anchor stays without one.
        is_new = not self.path.exists() or (self.folder / ANCHOR_FILE).exists()
        return f"./{ANCHOR_FILE}" if is_new else None

    def _anchor(self) -> str | None:
        return None if self.anchor_word is None else usable_word(self.anchor_word, self.folder)

    def _check_places(self) -> None:
        """Check that nothing that setup writes replaces or removes the key or the anchor; errors as `set_up`."""
        networks = {member.file for member in _networks(self.kit)}
        folder, paths = self.folder.resolve(), {}
        for name, word in (("key", self.key_word), ("anchor", self.anchor_word)):
            if word is None or not (names_key_file if name == "key" else names_anchor_file)(word):
                continue
            path = paths[name] = Path(usable_word(word, self.folder)).resolve()
            first = path.relative_to(folder).parts[:1] if path.is_relative_to(folder) else ("",)
            if not first or first[0] in networks or is_written_by_setup(first[0]):
                raise InputError(
                    f"expected another file for the {name} than {path}, which setup writes itself",
                    hint=f"use a file outside {self.folder}: --{name} for a new gallery, edge-sdk gallery rotate-key or re-anchor"
                    " for an existing one",
                )
        if "key" in paths and paths["key"] == paths.get("anchor"):
            raise InputError(f"expected different files for key and anchor, found {paths['key']} twice")

    def _named_key(self, passphrase: Callable[[bool], str] | None, *, is_new: bool) -> KeyProvider | None:
        """Return the key if it is no file; None for a key file, which may have to be created."""
        word = usable_word(self.key_word, self.folder)
        if names_key_file(word):
            return None
        return key_named(word, passphrase=None if passphrase is None else lambda: passphrase(is_new))

    def _accepted(
        self, terms: LicenceTerms, accept: Callable[[LicenceTerms], bool], clock: Callable[[], float]
    ) -> AcceptedLicences | None:
        before = None if self.existing is None else self.existing.accepted
        if terms.is_empty or (before is not None and before.terms_sha256 == terms.sha256):
            return before
        if not accept(terms):
            raise LicencesRefusedError(
                "the licences were not accepted; nothing was installed",
                hint="read them, and accept them on the terminal or with --accept-licences",
            )
        self.changes.append("licences accepted")
        return AcceptedLicences(terms.sha256, terms.lines, int(clock()))

    @contextlib.contextmanager
    def _staged_networks(self) -> Iterator[tuple[list[KitMember], PinnedNetworks | None]]:
        """Write the new networks into a folder of their own, and check that this computer runs all networks of the kit."""
        from edge_sdk.runtime.backend_choice import BackendWarning
        from edge_sdk.vision.detector import Detector
        from edge_sdk.vision.embedder import Embedder
        from edge_sdk.vision.liveness import MiniFasNet

        staging = self.folder / STAGING
        shutil.rmtree(staging, ignore_errors=True)  # left by an interrupted run
        manifest = self.kit.manifest
        staged = [member for member in _networks(self.kit) if not is_at(self.folder / member.file, member)]
        try:
            if staged:
                make_private(staging)
            for member in staged:
                write_read_only(staging / member.file, self.kit.read(member))
            paths = {
                member.file: (staging if member in staged else self.folder) / member.file
                for member in _networks(self.kit)
            }
            with warnings.catch_warnings():
                # Missing evidence for this computer does not stop the installation; doctor reports it.
                warnings.simplefilter("ignore", BackendWarning)
                Embedder.open(paths[manifest.embedder.file])
            detector = None if manifest.detector is None else Detector.open(paths[manifest.detector.file])
            liveness = [paths[member.file] for member in manifest.liveness]
            pad = MiniFasNet.open(*liveness) if liveness else None
            yield staged, None if detector is None and pad is None else PinnedNetworks.of(detector, pad)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _create(self, key: KeyProvider | None, networks: PinnedNetworks | None) -> Gallery:
        anchor = self._anchor()
        anchor_file = Path(anchor) if anchor is not None and names_anchor_file(anchor) else None
        if anchor_file is not None:
            make_private(anchor_file.parent)
        key_file = None if key is not None else Path(usable_word(self.key_word, self.folder))
        earlier = set_aside(self.path, anchor_file, key_file, folder=self.folder)
        if earlier is not None:
            self.changes.append(f"files of an empty or incomplete gallery moved to {earlier.name}")
        with key_for(key_file, key) as opened:
            gallery = Gallery.create(
                self.path,
                key=opened,
                model_id=self.model.model_id,
                dimension=self.model.card.dimension,
                networks=networks,
                anchor=anchor_named(anchor),
            )
        self.changes.append("key and gallery created" if key_file is not None else "gallery created")
        return gallery

    def _store(self, rules: DoorRules, gallery: Gallery) -> None:
        rules.store(gallery)
        self.changes.extend(f"{change} stored" for change in rules.changes())

    def _move(self, staged: list[KitMember]) -> None:
        for member in staged:
            (self.folder / STAGING / member.file).replace(self.folder / member.file)
        if staged:
            sync(self.folder)
            self.changes.append(f"networks written: {', '.join(member.file for member in staged)}")

    def _write_texts(self) -> None:
        for member in self.kit.manifest.members:
            path = self.folder / TEXTS / member.file
            if member.role in (Role.LICENCE, Role.REPORT) and not is_at(path, member):
                make_private(path.parent)
                write_read_only(path, self.kit.read(member))

    def _finish(self, accepted: AcceptedLicences | None) -> Installation:
        """Write `installation.json`, and remove networks of the earlier kit that are not used any more."""
        manifest, before = self.kit.manifest, self.existing
        camera, rotate = self.options.camera, self.options.rotate
        if camera is None:
            stored = None if before is None else before.camera
            camera = stored or (self._present_camera() if manifest.detector else None)
        elif Path(camera).exists():
            camera = str(Path(camera).absolute())
        installation = Installation(
            folder=self.folder,
            kit=InstalledKit(manifest.name, manifest.version, self.kit.sha256),
            networks=tuple(InstalledNetwork(member.file, member.sha256) for member in _networks(self.kit)),
            detector_file=None if manifest.detector is None else manifest.detector.file,
            key_word=self.key_word,
            anchor_word=self.anchor_word,
            camera=camera,
            rotate=rotate if rotate is not None else 0 if before is None else before.rotate,
            door=self.door,
            accepted=accepted,
            threads=self.options.threads or (None if before is None else before.threads),
        )
        if installation != before:
            installation.write()
            self.changes.append(f"{FILE_NAME} written")
        listed = {network.file for network in installation.networks}
        unused = [network.file for network in before.networks if network.file not in listed] if before else []
        for file in unused:
            (self.folder / file).unlink(missing_ok=True)
        if unused:
            self.changes.append(f"networks removed: {', '.join(unused)}")
        return installation

    def _present_camera(self) -> str | None:
        from edge_sdk.cameras.picamera import import_picamera2
        from edge_sdk.imports import ImportFailure

        camera = None
        if not isinstance(import_picamera2(), ImportFailure):
            camera = "pi"
        elif Path("/dev/video0").exists():
            camera = "usb"
        if camera is not None:
            self.changes.append(
                f"camera {camera} chosen, because this computer has it; --camera names another one"
            )
        return camera


def _check_options(kit: KitFile, options: SetupOptions) -> None:
    if options.door and kit.manifest.detector is None:
        raise InputError(
            f"expected a kit with a face detector for a door lock, found kit {kit.manifest.name} without one",
            hint="leave out --door, and use the kit with edge-sdk enrol and identify",
        )
    for member in _networks(kit):
        InstalledNetwork(member.file, member.sha256)  # checks the name
    if options.rotate not in (None, *ROTATIONS):
        raise InputError(f"expected a turn of 0, 90, 180 or 270 degrees, found {options.rotate!r}")
    thread_count(options.threads)
    if options.camera is not None:
        camera_named(options.camera, rotate=options.rotate or 0)


def _networks(kit: KitFile) -> list[KitMember]:
    manifest = kit.manifest
    detectors = [] if manifest.detector is None else [manifest.detector]
    return [manifest.embedder, *detectors, *manifest.liveness]
