"""Installation of a kit on a computer: the folder, and the file that names what is in it.

`installation.json` is written by `edge-sdk setup` as its last step. Commands and programs that find it use the files that
it names. It contains no secret: the key is named by a word, as on the command line.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_sdk.errors import InputError
from edge_sdk.model.json_fields import JsonFields, text, whole_number

if TYPE_CHECKING:
    from edge_sdk.gallery import Gallery, KeyProvider
    from edge_sdk.recognizer import Recognizer
    from edge_sdk.vision.embedder import Embedder

SCHEMA = "edge-sdk/installation/1"
FILE_NAME = "installation.json"
#: Environment variable with the folder of the installation.
ENVIRONMENT = "EDGE_SDK_INSTALLATION"
ROTATIONS = (0, 90, 180, 270)
_MAX_BYTES = 64 << 10
_MAX_NETWORKS = 32
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}(/[a-z0-9][a-z0-9._-]{0,63})?")
_DIGEST = re.compile(r"[0-9a-f]{64}")
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
    "door",
    "accepted",
}
_HINT = "run edge-sdk setup KIT again, which writes the file anew and keeps the gallery"


@dataclass(frozen=True)
class InstalledKit:
    """The kit of an installation.

    Args:
        name: Name of the kit.
        version: Version of the kit.
        sha256: SHA-256 of the kit's manifest, hex.
    """

    name: str
    version: str
    sha256: str


@dataclass(frozen=True)
class InstalledNetwork:
    """A network of an installation.

    Args:
        file: File name in the folder.
        sha256: SHA-256 of the file, hex.
    """

    file: str
    sha256: str


@dataclass(frozen=True)
class AcceptedLicences:
    """The licences that a person accepted.

    Args:
        terms_sha256: Digest of the networks' licences, notes and sources and of the licence texts, hex; other terms have to
            be accepted again.
        licences: One line for each network: file name and licence.
        at_s: Time of the acceptance, Unix seconds.
    """

    terms_sha256: str
    licences: tuple[str, ...]
    at_s: int


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
        gallery_file: File name of the gallery.
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
    gallery_file: str = "home.gallery"

    def __post_init__(self) -> None:
        if not self.networks or len(self.networks) > _MAX_NETWORKS:
            raise InputError(
                f"installation: expected 1..{_MAX_NETWORKS} networks, found {len(self.networks)}"
            )
        for name in (self.gallery_file, *(network.file for network in self.networks)):
            if not _NAME.fullmatch(name):
                raise InputError(f"installation: expected a plain file name, found {name!r}")
        if self.rotate not in ROTATIONS:
            raise InputError(f"installation: expected a turn of 0, 90, 180 or 270, found {self.rotate!r}")

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
        return self.folder / self.gallery_file

    @property
    def key(self) -> str:
        """Key as a word of the command line; the path of a key file is absolute."""
        return self._absolute(self.key_word)

    @property
    def anchor(self) -> str | None:
        """Anchor as a word of the command line; the path of a file is absolute. None if there is no anchor."""
        return None if self.anchor_word is None else self._absolute(self.anchor_word)

    @classmethod
    def default_folder(cls) -> Path:
        """Return the folder in ``EDGE_SDK_INSTALLATION``; if that is not set, ``~/.local/share/edge-sdk/door``."""
        folder = os.environ.get(ENVIRONMENT)
        return Path(folder) if folder else Path.home() / ".local" / "share" / "edge-sdk" / "door"

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
        except (OSError, RuntimeError):  # a folder of another user, or no home folder
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
            with path.open("rb") as file:
                data = file.read(_MAX_BYTES + 1)
        except FileNotFoundError:
            raise InputError(
                f"expected an installation in {place}, found no {FILE_NAME}",
                hint="install a kit: edge-sdk setup KIT",
            ) from None
        except (OSError, ValueError) as error:
            raise InputError(
                f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}"
            ) from error
        if len(data) > _MAX_BYTES:
            raise InputError(f"{path}: expected at most {_MAX_BYTES} bytes, found more", hint=_HINT)
        try:
            return _from_json(place.absolute(), json.loads(data, object_pairs_hook=_unique))
        except (ValueError, RecursionError) as error:  # InputError and ModelCardError are ValueErrors
            raise InputError(f"{path}: {error}", hint=_HINT) from error

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
            "gallery": self.gallery_file,
            "key": self.key_word,
            "anchor": self.anchor_word,
            "camera": self.camera,
            "rotate": self.rotate,
            "door": self.door,
            "accepted": None if self.accepted is None else asdict(self.accepted),
        }
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

        return Embedder.open(self.model)

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
                hint="open_embedder and open_gallery open the parts",
            )
        return Recognizer.open(
            self.model,
            detector=self.detector,
            gallery=self.gallery,
            key=key_named(self.key) if key is None else key,
            anchor=anchor_named(self.anchor),
            **{"pad": self.liveness or None, "rotate": self.rotate, **options},
        )

    def _absolute(self, word: str) -> str:
        """Return a word as it is, or the absolute path of a file in the folder, which is marked by a leading ``./``."""
        return str(self.folder / word[2:]) if word.startswith("./") else word


def _from_json(folder: Path, value: Any) -> Installation:
    fields = JsonFields(value, "installation")
    if fields.read("schema", text) != SCHEMA:
        raise InputError(f"expected schema {SCHEMA}, found {value['schema']!r}")
    unknown = sorted(set(value) - _FIELDS)
    if unknown:
        raise InputError(f"expected no other fields than those of {SCHEMA}, found {', '.join(unknown)}")
    detector = fields.optional("detector", _network)
    return Installation(
        folder=folder,
        kit=fields.read("kit", _kit),
        networks=(
            fields.read("model", _network),
            *([] if detector is None else [detector]),
            *fields.read("liveness", _networks),
        ),
        detector_file=None if detector is None else detector.file,
        key_word=fields.read("key", _word),
        anchor_word=fields.optional("anchor", _word),
        camera=fields.optional("camera", _word),
        rotate=fields.read("rotate", whole_number),
        door=fields.read("door", _truth),
        accepted=fields.optional("accepted", _accepted),
        gallery_file=fields.read("gallery", text),
    )


def _kit(value: Any) -> InstalledKit:
    fields = JsonFields(value, "installation, kit")
    return InstalledKit(
        fields.read("name", text), fields.read("version", text), fields.read("sha256", _digest)
    )


def _network(value: Any) -> InstalledNetwork:
    fields = JsonFields(value, "installation, network")
    return InstalledNetwork(fields.read("file", text), fields.read("sha256", _digest))


def _networks(value: Any) -> tuple[InstalledNetwork, ...]:
    return tuple(_network(item) for item in _list(value))


def _accepted(value: Any) -> AcceptedLicences:
    fields = JsonFields(value, "installation, accepted")
    return AcceptedLicences(
        fields.read("terms_sha256", _digest),
        fields.read("licences", lambda items: tuple(text(item) for item in _list(items))),
        fields.read("at_s", whole_number),
    )


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) > _MAX_NETWORKS:
        raise TypeError(f"{value!r} is not a list of at most {_MAX_NETWORKS}")
    return value


def _digest(value: Any) -> str:
    if not _DIGEST.fullmatch(text(value)):
        raise ValueError(f"{value!r} is not a SHA-256 in hex")
    return text(value)


def _word(value: Any) -> str:
    if not text(value).strip() or "\0" in value:
        raise ValueError(f"{value!r} is empty or has a null byte")
    return text(value)


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("expected each field once, found one twice")
    return value
