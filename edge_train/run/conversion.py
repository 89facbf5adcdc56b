"""Convert the trained network: crops of the calibration subjects as a zip file, then ``converters.convert``."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

from converters.pipeline.convert import convert
from converters.pipeline.options import ConversionOptions, Search
from converters.progress import stage
from edge_sdk.model.card import InputContract
from edge_sdk.types import UInt8Array
from edge_train.data.subjects import Subjects
from edge_train.run.work_folder import read_values

#: Calibration, fidelity and a search take 200, 100 and 60 of these images; a third of them is for the last two.
CALIBRATION_IMAGES = 600
# A fixed time stamp, so that the same images give the same bytes.
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class ConvertedFile:
    """One file of a conversion, as its report states it.

    Args:
        file: Name of the file.
        precision: ``float32``, ``float16``, ``dynamic`` or ``int8``.
        size_bytes: Size of the file.
        cosine_mean: Mean cosine to the float network, -1..1.
        time_ratio: Time of an inference as a share of the float network's; None if the machine was too busy to tell.
    """

    file: str
    precision: str
    size_bytes: int
    cosine_mean: float
    time_ratio: float | None


@dataclass(frozen=True)
class Conversion:
    """Report of a conversion in the work folder.

    Args:
        files: The files; the first is the float network's.
        refusals: Targets and files that were refused, one line each.
        notes: Remarks of the conversion, and files without a recipe that keeps the cosine of the search.
        verdict: Conclusion of the conversion.
    """

    files: tuple[ConvertedFile, ...]
    refusals: tuple[str, ...]
    notes: tuple[str, ...]
    verdict: str

    @classmethod
    def read(cls, folder: Path, name: str) -> Conversion:
        """Read the report of the conversion of a model from a folder."""
        keys = ("artefacts", "refused", "refused_files", "notes", "verdict")
        file = folder / f"{name}.report.json"
        report = read_values(file, keys=keys, hint=f"remove {folder} to convert again")
        artefacts = report["artefacts"]
        refusals = [
            *(f"no files for {target['name']}: {target['error']}" for target in report["refused"]),
            *(f"{file['file']} was not written: {file['error']}" for file in report["refused_files"]),
        ]
        missed = [
            f"{a['file']} misses the budget of its search: {a['goal']}" for a in artefacts if not a["met"]
        ]
        files = tuple(
            ConvertedFile(a["file"], a["precision"], a["size_bytes"], a["cosine_mean"], a["time_ratio"])
            for a in artefacts
        )
        return cls(files, tuple(refusals), (*report["notes"], *missed), report["verdict"])

    @property
    def main(self) -> ConvertedFile:
        """The first int8 file, or the last file if no file is int8."""
        return next((file for file in self.files if file.precision == "int8"), self.files[-1])


def convert_network(
    network: Path,
    contract: InputContract,
    calibration: Subjects,
    *,
    name: str,
    targets: tuple[str, ...],
    folder: Path,
) -> None:
    """Convert a trained network by the cheapest recipes that keep a mean cosine of 0.995, and write its files into a folder.

    Args:
        network: The ``.keras`` file.
        contract: Its input contract.
        calibration: Subjects whose images give the activation ranges.
        name: The model's name.
        targets: Names of targets.
        folder: Folder for the files.

    Raises:
        ConversionError: The network cannot be converted; see ``converters.convert``.
    """
    crops = folder / "calibration.zip"
    write_crops(calibration, contract, crops)
    convert(
        ConversionOptions(
            model=network,
            contract=contract,
            calibration=crops,
            output=folder,
            targets=targets,
            name=name,
            quantization=Search(),
        )
    )
    crops.unlink()


def write_crops(subjects: Subjects, contract: InputContract, path: Path) -> None:
    """Write images at the network's size as PNG files into a zip file, evenly chosen if there are many."""
    count = min(len(subjects.flat), CALIBRATION_IMAGES)
    chosen = [subjects.flat[place * len(subjects.flat) // count] for place in range(count)]
    with stage("read the calibration images") as progress, zipfile.ZipFile(path, "w") as archive:
        for place, sample in enumerate(chosen):
            data = _png(subjects.samples.at_size(sample, contract))
            # Two images of a subject may differ only in their suffix.
            archive.writestr(zipfile.ZipInfo(f"{sample.name}.png", _EPOCH), data)
            progress(place + 1, len(chosen))


def _png(pixels: UInt8Array) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(out, format="PNG")
    return out.getvalue()
