"""Labelled sample sets: images or arrays in a folder or an archive, as `subject/image` or `subject/array.npy`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path, PurePosixPath

from converters.data.image_set import ImageSet, SetDigest
from converters.evaluate.metrics.cosines import MAX_IMAGES
from edge_sdk.errors import AcquisitionError, EdgeSdkError, InputError
from edge_sdk.model.array_contract import AnyContract, ArrayContract
from edge_sdk.model.array_file import SUFFIX, read_array
from edge_sdk.types import SampleArray, UInt8Array
from edge_sdk.vision.images import MIN_SIDE_PX, SUFFIXES, read_image
from edge_sdk.vision.resize import fit


@dataclass(frozen=True, order=True)
class Sample:
    """One image or array: `name` is `subject/file.jpg` and unique in its set."""

    name: str
    subject: str


@dataclass(frozen=True, eq=False)
class SampleSet:
    """Images or arrays of a data set, sorted by name; made by `open_samples` or `open_unlabelled`.

    Attributes:
        data_set: Name of the data set, for the evidence of operating points.
        samples: The images; at least one.
        read: Returns the bytes of a sample; raises InputError if they cannot be read.
        labelled: True if the subjects are known. If False, each image counts as a separate subject.
        left_out: Number of ignored images: they are not directly in the folder of a subject.
    """

    data_set: str
    samples: tuple[Sample, ...]
    read: Callable[[Sample], bytes]
    labelled: bool = True
    left_out: int = 0

    @property
    def arrays(self) -> bool:
        """True if the samples are arrays in .npy files."""
        return self.samples[0].name.lower().endswith(SUFFIX)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over names, sizes and bytes of the sorted images, hex; the first access reads all of them.

        `converters.data.image_set.SetDigest` defines the input of the hash. A file that cannot be read counts as
        empty.
        """
        digest = SetDigest()
        for sample in self.samples:
            try:
                content = self.read(sample)
            except InputError:
                content = b""
            digest.add(sample.name, content)
        return digest.hexdigest()

    def image(self, sample: Sample, *, color: str = "rgb") -> UInt8Array:
        """Decode one image upright (`edge_sdk.vision.images.read_image`).

        Args:
            sample: One of `samples`.
            color: ``gray`` for one channel, otherwise RGB.

        Returns:
            Shape (H, W, 3) or (H, W, 1), uint8.

        Raises:
            AcquisitionError: The image cannot be decoded.
            InputError: The file cannot be read.
            EdgeSdkError: Pillow is not installed.
        """
        return decode(self.read(sample), sample.name, color=color)

    def at_size(self, sample: Sample, contract: AnyContract) -> SampleArray:
        """Read one image at the network's size, or one array.

        Returns:
            The contract's shape and type.

        Raises:
            AcquisitionError: The image cannot be decoded.
            InputError: The file cannot be read, a side of the image is under 16 px, or the array does not fit the contract.
            EdgeSdkError: Pillow is not installed.
        """
        if isinstance(contract, ArrayContract):
            return read_array(self.read(sample), contract, name=sample.name)
        image = self.image(sample, color=contract.color)
        if min(image.shape[:2]) < MIN_SIDE_PX:
            raise InputError(
                f"{sample.name}: expected at least {MIN_SIDE_PX}x{MIN_SIDE_PX} px,"
                f" found {image.shape[0]}x{image.shape[1]}"
            )
        return fit(image, contract.height, contract.width)


def open_samples(path: str | Path, *, name: str | None = None, arrays: bool | None = None) -> SampleSet:
    """List the images or arrays of a folder, .tar or .zip of `subject/image`; file contents are read on demand.

    In a folder, images in subfolders of a subject are ignored. In an archive, only the last two parts of a path count.

    Args:
        path: Folder or archive.
        name: Name of the data set (default: the folder's name, or the archive's without suffix).
        arrays: True lists .npy files, False images; None lists images, or .npy files if there are no images.

    Raises:
        InputError: The path cannot be read, no image is in a subject's folder, a name occurs twice, or there are
            too many images.
    """
    images = ImageSet.open(path, arrays=arrays)
    full_names: dict[str, str] = {}
    left_out = 0
    for full_name in images.names:
        parts = PurePosixPath(full_name).parts
        if len(parts) < 2 or (images.path.is_dir() and len(parts) > 2):
            left_out += 1
            continue
        short = f"{parts[-2]}/{parts[-1]}"
        if short in full_names:
            raise InputError(
                f"expected each subject/image once in {images.path.name}, found {short} twice",
                hint="give each subject a different folder name",
            )
        full_names[short] = full_name
    if not full_names:
        raise InputError(
            f"expected images as subject/image in {path}, found none",
            hint=f"make one folder per subject, with {', '.join(SUFFIXES[:3])} files in it",
        )
    _check_count(len(full_names))
    return SampleSet(
        name or _data_set_name(images.path),
        tuple(Sample(short, short.split("/")[0]) for short in sorted(full_names)),
        lambda sample: images.read(full_names[sample.name]),
        left_out=left_out,
    )


def open_unlabelled(path: str | Path, *, name: str | None = None) -> SampleSet:
    """List all images of a folder or archive, at any depth, without subjects.

    Raises:
        InputError: The path cannot be read, there is no image, or there are too many images.
    """
    images = ImageSet.open(path)
    _check_count(len(images.names))
    return SampleSet(
        name or _data_set_name(images.path),
        tuple(Sample(full_name, full_name) for full_name in images.names),
        lambda sample: images.read(sample.name),
        labelled=False,
    )


def decode(content: bytes, name: str, *, color: str = "rgb") -> UInt8Array:
    """Decode the bytes of an image file.

    Returns:
        Shape (H, W, 3), or (H, W, 1) if color is ``gray``, uint8.

    Raises:
        AcquisitionError: The image cannot be decoded.
        EdgeSdkError: Pillow is not installed.
    """
    try:
        return read_image(BytesIO(content), color=color, name=name)
    except InputError as error:
        if isinstance(error.__cause__, ImportError):
            raise EdgeSdkError(str(error), hint=error.hint) from error
        raise AcquisitionError(str(error), reason="cannot be decoded", hint=error.hint) from error


def _data_set_name(path: Path) -> str:
    if path.is_dir():
        return path.resolve().name
    return path.name.split(".tar")[0].removesuffix(".tgz").removesuffix(".zip")


def _check_count(count: int) -> None:
    if count > MAX_IMAGES:
        raise InputError(f"expected up to {MAX_IMAGES} images, found {count}", hint="give fewer images")
