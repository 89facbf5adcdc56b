"""Example of device plug-ins: a backend, a camera, a face detector and a key provider of another distribution."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edge_sdk.errors import AcquisitionError, GalleryError
from edge_sdk.gallery.keys.provider import SLOT_EXTENSIONS
from edge_sdk.runtime.backends.litert import LiteRtBackend
from edge_sdk.types import UInt8Array
from edge_sdk.vision.faces import Face


class AcmeBackend(LiteRtBackend):
    """Backend that uses LiteRT's reference kernels in place of a real device."""

    def __init__(self, network: bytes, *, threads: int) -> None:
        super().__init__(network, threads=threads, kernels="reference")
        self.runtime, self.kernels = "acme-runtime 1.0", "acme"


class ArrayCamera:
    """Camera that reads frames from the .npy files of a folder, in the order of their names.

    Args:
        folder: Folder of arrays of shape (H, W, 3), uint8, RGB.
    """

    live = False

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self.name = f"arrays in {folder}"

    def __enter__(self) -> ArrayCamera:
        self._files = iter(sorted(self._folder.glob("*.npy")))
        return self

    def __exit__(self, *_: object) -> None:
        self._files = iter(())

    def read(self) -> UInt8Array | None:
        """Return the next frame; None after the last one."""
        path = next(self._files, None)
        if path is None:
            return None
        try:
            frame: UInt8Array = np.load(path)
        except (OSError, ValueError) as error:
            raise AcquisitionError(f"{path}: {error}", reason="camera") from error
        return frame


class HeadRest:
    """Detector that always returns a face at the same place, for persons who lean on a head rest.

    Args:
        file: JSON file with `box` (left, top, width, height) and five `landmarks` (x, y), in pixels of the frame.
    """

    def __init__(self, file: str) -> None:
        place = json.loads(Path(file).read_text())
        self._face = Face(tuple(place["box"]), np.array(place["landmarks"], np.float64), 1.0)

    def detect(self, frame: UInt8Array) -> tuple[Face, ...]:
        """Return the face at its fixed place."""
        return (self._face,)


class TokenKey:
    """Key provider that reads its secret from a token, here a file of 64 hexadecimal digits.

    Args:
        file: The token's file.
    """

    name = "acme token"
    level = 3
    slot_type = SLOT_EXTENSIONS + 7

    def __init__(self, file: str) -> None:
        self._file = Path(file)

    def new_parameters(self, random: Callable[[int], bytes]) -> bytes:
        """Return no parameters for a new slot, because the token needs none."""
        return b""

    def secret(self, parameters: bytes) -> bytes:
        """Return the token's secret, 32 bytes."""
        try:
            return bytes.fromhex(self._file.read_text())
        except (OSError, ValueError) as error:
            raise GalleryError(f"acme token {self._file}: {error}", hint="plug in the token") from error
