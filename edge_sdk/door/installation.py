"""Installation of a kit on a computer: the folder, and the file that names what is in it.

`installation.json` is written by `edge-sdk setup` as its last step. Commands and programs that find it use the files that
it names. It contains no secret: the key is named by a word, as on the command line.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_sdk.door.installed_parts import (
    FILE_NAME,
    GALLERY_FILE,
    MAX_NETWORKS,
    AcceptedLicences,
    InstalledKit,
    InstalledNetwork,
    parse_accepted,
    parse_kit,
    parse_network,
    parse_networks,
    parse_word,
    unique_fields,
)
from edge_sdk.door.words import names_anchor_file, names_key_file, stored_word, usable_word
from edge_sdk.errors import InputError
from edge_sdk.model.json_fields import JsonFields, text, truth, whole_number
from edge_sdk.runtime.threads import thread_count

if TYPE_CHECKING:
    from edge_sdk.gallery import Gallery, KeyProvider
    from edge_sdk.recognizer import Recognizer
    from edge_sdk.vision.embedder import Embedder

SCHEMA = "edge-sdk/installation/1"
#: Environment variable with the folder of the installation.
ENVIRONMENT = "EDGE_SDK_INSTALLATION"
ROTATIONS = (0, 90, 180, 270)
_MAX_BYTES = 64 << 10
_FIELDS = {
    "schema",
    "kit",
    "model",
    "detector",
    "liveness",
    "gallery",
    "key",
    "anchor",
    "camera",
    "rotate",
    "threads",
    "door",
    "accepted",
}
_HINT = "run edge-sdk setup KIT again, which writes the file anew and keeps the gallery"


@dataclass(frozen=True)
class Installation:
    """An installed kit.

    ```python
    installation = Installation.read()
    recognizer = installation.open_recognizer()
    ```

    Args:
        folder: Absolute path of the folder.
        kit: The kit.
        networks: The networks: the embedder; the detector if there is one; the liveness networks.
        detector_file: File name of the detector; None if crops need no detection.
        key_word: Key as a word of the command line; a relative path is in the folder.
        anchor_word: Anchor as a word of the command line; a relative path is in the folder. None if there is no anchor.
        camera: Camera as a word of the command line; None if it was not chosen.
        rotate: Clockwise turn that makes the camera's picture upright: 0, 90, 180 or 270.
        door: True if the gallery has what a door lock needs: a decision policy and a limit of attempts.
        accepted: The licences that were accepted; None if the kit states none.
        threads: Number of threads of each network, 1 or more; None for the device's default.
    """

    folder: Path
    kit: InstalledKit
    networks: tuple[InstalledNetwork, ...]
    detector_file: str | None
    key_word: str
    anchor_word: str | None
    camera: str | None = None
    rotate: int = 0
    door: bool = False
    accepted: AcceptedLicences | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        if not self.networks or len(self.networks) > MAX_NETWORKS:
            raise InputError(f"installation: expected 1..{MAX_NETWORKS} networks, found {len(self.networks)}")
        if self.rotate not in ROTATIONS:
            raise InputError(f"installation: expected a turn of 0, 90, 180 or 270, found {self.rotate!r}")
        thread_count(self.threads)

    @property
    def model(self) -> Path:
        """File of the embedder."""
        return self.folder / self.networks[0].file

    @property
    def detector(self) -> Path | None:
        """File of the face detector; None if crops need no detection."""
        return None if self.detector_file is None else self.folder / self.detector_file

    @property
    def liveness(self) -> tuple[Path, ...]:
        """Files of the liveness networks."""
        others = [network.file for network in self.networks[1:]]
        return tuple(self.folder / file for file in others if file != self.detector_file)

    @property
    def gallery(self) -> Path:
        """File of the gallery."""
        return self.folder / GALLERY_FILE

    @property
    def key(self) -> str:
        """Key as a word of the command line; the path of a key file is absolute."""
        return usable_word(self.key_word, self.folder)

    @property
    def anchor(self) -> str | None:
        """Anchor as a word of the command line; the path of a file is absolute. None if there is no anchor."""
        return None if self.anchor_word is None else usable_word(self.anchor_word, self.folder)

    @classmethod
    def default_folder(cls) -> Path:
        """Return the folder in ``EDGE_SDK_INSTALLATION``; if that is not set, ``~/.local/share/edge-sdk/door``.

        Raises:
            InputError: The variable is not set, and the user has no home folder.
        """
        folder = os.environ.get(ENVIRONMENT)
        try:
            return Path(folder) if folder else Path.home() / ".local" / "share" / "edge-sdk" / "door"
        except RuntimeError as error:
            raise InputError(
                f"expected a home folder for the installation, found none: {error}",
                hint=f"name a folder with --installation, or in {ENVIRONMENT}",
            ) from error

    @classmethod
    def find(cls) -> Installation | None:
        """Read the installation in the default folder; None if there is none.

        Raises:
            InputError: There is one, but its file cannot be read or is malformed.
        """
        try:
            folder = cls.default_folder()
            if not (folder / FILE_NAME).exists():
                return None
        except (OSError, InputError):  # a folder of another user, or no home folder
            return None
        return cls.read(folder)

    @classmethod
    def read(cls, folder: str | Path | None = None) -> Installation:
        """Read an installation.

        Args:
            folder: Its folder; None for the default folder.

        Raises:
            InputError: There is no installation, or its file cannot be read or is malformed.
        """
        place = Path(folder) if folder is not None else cls.default_folder()
        path = place / FILE_NAME
        try:
            if path.exists() and not path.is_file():
                raise InputError(f"{path}: expected a file, found a folder or a device", hint="remove it")
            with path.open("rb") as file:
                data = file.read(_MAX_BYTES + 1)
        except FileNotFoundError:
            raise InputError(
                f"expected an installation in {place}, found no {FILE_NAME}",
                hint="install a kit: edge-sdk setup KIT",
            ) from None
        except InputError:
            raise
        except (OSError, ValueError) as error:
            raise InputError(
                f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}"
            ) from error
        if len(data) > _MAX_BYTES:
            raise InputError(f"{path}: expected at most {_MAX_BYTES} bytes, found more", hint=_HINT)
        try:
            return _from_json(place.absolute(), json.loads(data, object_pairs_hook=unique_fields))
        except (ValueError, RecursionError) as error:  # InputError and ModelCardError are ValueErrors
            raise InputError(f"{path}: {error}", hint=_HINT) from error

    def with_key(self, word: str) -> Installation:
        """Return the installation with another key, a word of the command line."""
        return replace(self, key_word=stored_word(word, self.folder) if names_key_file(word) else word)

    def with_anchor(self, word: str | None) -> Installation:
        """Return the installation with another anchor, a word of the command line; None for no anchor."""
        is_file = word is not None and names_anchor_file(word)
        return replace(
            self, anchor_word=stored_word(word, self.folder) if word is not None and is_file else word
        )

    def write(self) -> None:
        """Write `installation.json`; it appears completely or not at all.

        Raises:
            GalleryError: The file cannot be written.
        """
        from edge_sdk.gallery.store.files import PosixFileSystem, write_atomically

        write_atomically(PosixFileSystem(), self.folder / FILE_NAME, self.to_bytes())

    def to_bytes(self) -> bytes:
        """Encode the content of `installation.json`; equal installations give equal bytes."""
        networks: dict[str, Any] = {"detector": None, "liveness": []}
        for network in self.networks[1:]:
            if network.file == self.detector_file:
                networks["detector"] = asdict(network)
            else:
                networks["liveness"].append(asdict(network))
        value = {
            "schema": SCHEMA,
            "kit": asdict(self.kit),
            "model": asdict(self.networks[0]),
            **networks,
            "gallery": GALLERY_FILE,
            "key": self.key_word,
            "anchor": self.anchor_word,
            "camera": self.camera,
            "rotate": self.rotate,
            "door": self.door,
            "accepted": None if self.accepted is None else asdict(self.accepted),
        }
        if self.threads is not None:
            value["threads"] = self.threads
        return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n"

    def files_used(self) -> dict[str, Any]:
        """Return folder, files, key and camera by name, for output as JSON."""
        return {
            "installation": str(self.folder),
            "model": str(self.model),
            "detector": None if self.detector is None else str(self.detector),
            "liveness": [str(path) for path in self.liveness],
            "gallery": str(self.gallery),
            "key": self.key,
            "anchor": self.anchor,
            # The address of a network camera may contain a password.
            "camera": self.camera if "@" not in (self.camera or "") else "a network camera",
            "rotate": self.rotate,
        }

    def open_embedder(self) -> Embedder:
        """Open the embedder; errors as `Embedder.open`."""
        from edge_sdk.vision.embedder import Embedder

        return Embedder.open(self.model, threads=self.threads)

    def open_gallery(self, *, model_id: bytes | None, key: KeyProvider | None = None) -> Gallery:
        """Open the gallery with its anchor.

        Args:
            model_id: `Embedder.model_id`; None for a program that neither enrols nor compares.
            key: The gallery's key; by default the one that the installation names. A passphrase must be given.

        Raises:
            InputError: The key is a passphrase and was not given.
            GalleryError: As `Gallery.open`.
        """
        from edge_sdk.door.named import anchor_named, key_named
        from edge_sdk.gallery import Gallery

        return Gallery.open(
            self.gallery,
            key=key_named(self.key) if key is None else key,
            model_id=model_id,
            needs_model=model_id is not None,
            anchor=anchor_named(self.anchor),
        )

    def open_recognizer(self, *, key: KeyProvider | None = None, **options: Any) -> Recognizer:
        """Open the networks and the gallery.

        Args:
            key: The gallery's key; by default the one that the installation names. A passphrase must be given.
            options: Further options of `Recognizer.open`, such as `limits`.

        Raises:
            InputError: The kit has no face detector, or the key is a passphrase and was not given.
            EdgeSdkError: As `Recognizer.open`.
        """
        from edge_sdk.door.named import anchor_named, key_named
        from edge_sdk.recognizer import Recognizer

        if self.detector is None:
            raise InputError(
                f"expected a kit with a face detector, found kit {self.kit.name} without one",
                hint=f"the installation is {self.folder}: name another one with --installation or {ENVIRONMENT}; in a program,"
                " open_embedder and open_gallery open the parts",
            )
        return Recognizer.open(
            self.model,
            detector=self.detector,
            gallery=self.gallery,
            key=key_named(self.key) if key is None else key,
            anchor=anchor_named(self.anchor),
            **{"pad": self.liveness or None, "rotate": self.rotate, "threads": self.threads, **options},
        )


def _from_json(folder: Path, value: Any) -> Installation:
    fields = JsonFields(value, "installation")
    if fields.read("schema", text) != SCHEMA:
        raise InputError(f"expected schema {SCHEMA}, found {value['schema']!r}")
    unknown = sorted(set(value) - _FIELDS)
    if unknown:
        raise InputError(f"expected no other fields than those of {SCHEMA}, found {', '.join(unknown)}")
    if fields.read("gallery", text) != GALLERY_FILE:
        raise InputError(f"expected the gallery {GALLERY_FILE}, found {value['gallery']!r}")
    detector = fields.optional("detector", parse_network)
    return Installation(
        folder=folder,
        kit=fields.read("kit", parse_kit),
        networks=(
            fields.read("model", parse_network),
            *([] if detector is None else [detector]),
            *fields.read("liveness", parse_networks),
        ),
        detector_file=None if detector is None else detector.file,
        key_word=fields.read("key", parse_word),
        anchor_word=fields.optional("anchor", parse_word),
        camera=fields.optional("camera", parse_word),
        rotate=fields.read("rotate", whole_number),
        door=fields.read("door", truth),
        accepted=fields.optional("accepted", parse_accepted),
        threads=fields.optional("threads", whole_number),
    )
