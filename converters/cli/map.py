"""``edge-convert map``: make a map between the embedding spaces of two model files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from converters.cli.arguments import add_command, print_result


def register(commands: Any) -> None:
    """Add the command ``map``."""
    parser = add_command(
        commands,
        "map",
        "make a map from the templates of one network to those of another, and measure its loss",
        _run,
        examples=("map old.tflite new.tflite --calibration crops/ --images people/ --output new.edgemap",),
        details="edge-sdk gallery migrate --map FILE uses it if the subjects cannot enrol again and no captures are stored. The map is "
        "fitted on crops without labels that both networks embed, and measured on labelled images of other people: FNMR at FMR "
        "1e-3 of mapped templates against the new network's own. The exit code is 1 if the loss is above 1 point, so that a gallery "
        "refuses the map; the file is written in any case.",
    )
    parser.add_argument(
        "old", type=Path, metavar="OLD.tflite", help="file whose templates the gallery holds, with its card"
    )
    parser.add_argument("new", type=Path, metavar="NEW.tflite", help="file to change to, with its card")
    parser.add_argument(
        "--calibration",
        type=Path,
        required=True,
        metavar="IMAGES",
        help="folder, .tar or .zip of crops for the fit, without labels; 500 people or more",
    )
    parser.add_argument(
        "--images",
        type=Path,
        required=True,
        help="folder, .tar or .zip with one folder of crops per subject, other people than those of the calibration",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="file for the map")


def _run(arguments: argparse.Namespace) -> int:
    from contextlib import ExitStack

    from converters.evaluate.runner.open_artefact import open_artefact
    from converters.evaluate.runner.space_map import make_space_map
    from converters.output import replace_file
    from converters.progress import Progress, stage
    from edge_sdk.gallery.migration.space_map import pack_map

    old, new = open_artefact(arguments.old), open_artefact(arguments.new)
    with ExitStack() as stack:
        bars: dict[str, Progress] = {}

        def show(name: str, done: int, total: int) -> None:
            if name not in bars:
                bars[name] = stack.enter_context(stage(name))
            bars[name](done, total)

        space_map = make_space_map(
            old, new, calibration=arguments.calibration, images=arguments.images, progress=show
        )
    replace_file(arguments.output, pack_map(space_map))
    evidence, problem = space_map.evidence, space_map.evidence.problem()
    value = {
        "map": str(arguments.output),
        "source_space": space_map.source_space.hex(),
        "target_space": space_map.target_space.hex(),
        "method": space_map.method,
        "fmr": evidence.fmr,
        "native_fnmr": evidence.native_fnmr,
        "mapped_fnmr": evidence.mapped_fnmr,
        "loss": evidence.loss,
        "loss_interval": list(evidence.loss_interval),
        "native_threshold": evidence.native_threshold,
        "fmr_at_native_threshold": evidence.fmr_at_native_threshold,
        "fnmr_at_native_threshold": evidence.fnmr_at_native_threshold,
        "subjects": evidence.subjects,
        "usable": problem is None,
        "problem": problem,
    }
    verdict = "a gallery uses this map" if problem is None else f"a gallery refuses this map: {problem}"
    print_result(
        arguments,
        value,
        f"fitted: {space_map.method}\n{evidence.words()}\nverdict: {verdict}\nwritten to {arguments.output}",
    )
    return 0 if problem is None else 1
