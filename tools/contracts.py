"""Check networks under right and wrong input contracts: which are questioned, and which contract is named.

python -m tools.contracts --images crops.tar face.onnx:112x112:rgb:127.5:128
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from converters.analyze.contract import ContractCheck, check_contract
from converters.analyze.contract_evidence import Candidate, same_values, swapped, usual_candidates
from converters.data.calibration import real_inputs
from converters.data.image_set import ImageSet, evenly
from converters.sources.float_model import read_float_model
from edge_sdk.model.card import InputContract


@dataclass(frozen=True)
class Trained:
    """A network and the contract for which it was trained."""

    path: Path
    contract: InputContract


def parse(text: str) -> Trained:
    """Read FILE:HxW:COLOR:MEAN:SCALE."""
    file, size, color, mean, scale = text.rsplit(":", 4)
    height, width = (int(side) for side in size.split("x"))
    values = [[float(value) for value in part.split(",")] for part in (mean, scale)]
    means, scales = ((v * 3)[:3] if len(v) == 1 else v for v in values)
    return Trained(Path(file), InputContract(height, width, color, tuple(means), tuple(scales)))


def checks(model: Trained, images: Path, count: int) -> Iterator[tuple[Candidate, bool, ContractCheck]]:
    """Check a network under its own contract, the other usual ones, and its own in the other channel order."""
    source = ImageSet.open(images)
    crops = source.crops(model.contract, names=evenly(source.names, count))
    network = read_float_model(
        model.path, contract=model.contract, inputs=real_inputs(crops.pixels[:2], model.contract)
    ).network
    candidates = usual_candidates(model.contract)
    other = swapped(candidates[0])
    for candidate in [*candidates, *([] if other is None else [other])]:
        check = check_contract(network, candidate.contract, crops.pixels)
        yield candidate, same_values(candidate.contract, model.contract), check


def main(argv: Sequence[str] | None = None) -> int:
    """Print one line per network and contract."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", metavar="FILE:HxW:COLOR:MEAN:SCALE")
    parser.add_argument("--images", type=Path, required=True, help="folder or archive of calibration crops")
    parser.add_argument("--count", type=int, default=100, help="number of images (default: 100)")
    arguments = parser.parse_args(argv)
    print(f"{'network':<36} {'given':<34} {'status':<10} named")
    for model in map(parse, arguments.models):
        for candidate, right, check in checks(model, arguments.images, arguments.count):
            given = f"{candidate.name}{' (right)' if right else ''}"
            print(f"{model.path.name:<36} {given:<34} {check.status:<10} {check.better_name}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
