"""Write what was measured into the measured file's own card: thresholds with evidence, score to probability."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shlex
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from converters.errors import ConversionError
from converters.evaluate.metrics.evidence import OperatingPointEvidence, Unsupported
from converters.evaluate.runner.evaluate import Evaluation
from converters.evaluate.runner.text import measured_with
from converters.graph.attach_card import card_behind
from converters.output import replace_file
from converters.targets.finishing import stale_by_products
from converters.targets.rule import join_names
from edge_sdk.errors import ModelCardError, ModelError
from edge_sdk.model.card import CARD_NAME, ModelCard
from edge_sdk.model.model_file import ModelFile, read_model_bytes, split
from edge_sdk.model.operating_point import OperatingPoint

#: FMRs that a card's operating points are claimed for where nobody says others.
CARD_FMRS = (1e-2, 1e-3, 1e-4, 1e-5)
# A fixed time stamp, as the packager's: the same content gives the same bytes.
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Written:
    """What was written.

    Args:
        file: Which file.
        sha256_before: Of the whole file as it was measured, hex.
        sha256: Of the whole file now, hex. Galleries are bound to it.
        points: The operating points it carries now.
        absent: FMRs that the data cannot support, with what it would take.
        outdated: Target -> what lies beside the file and was made of it as it was.
    """

    file: Path
    sha256_before: str
    sha256: str
    points: tuple[OperatingPoint, ...]
    absent: tuple[Unsupported, ...]
    outdated: Mapping[str, tuple[str, ...]]

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {
            "file": self.file.name,
            "sha256_before": self.sha256_before,
            "sha256": self.sha256,
            "operating_points": [point.to_json() for point in self.points],
            "absent": [reason.to_dict() for reason in self.absent],
            "outdated": {target: list(names) for target, names in self.outdated.items()},
        }

    def to_text(self) -> str:
        """The same for a terminal."""
        measured = measured_with(self.points[0].kernels, self.points[0].runtime)
        lines = [f"written into the card of {self.file}: {len(self.points)} operating points, for {measured}"]
        lines += [
            f"  FMR {p.fmr:g}: threshold {p.threshold:.4f}, FNMR {100 * p.fnmr:.2f} %" for p in self.points
        ]
        lines += [f"  absent: {reason.reason}" for reason in self.absent]
        lines += [
            f"SHA-256 was {self.sha256_before}",
            f"SHA-256 is  {self.sha256}",
            "galleries made with the file as it was must be made again: they are bound to its SHA-256",
        ]
        for target, names in self.outdated.items():
            lines += [
                f"made of the file as it was, without these thresholds: {join_names(names)}",
                f"  write them again: edge-convert finish {shlex.quote(str(self.file))} --target {target}",
            ]
        return "\n".join(lines)


def check_writable(path: Path) -> None:
    """Say before the work begins that a file cannot be given a new card.

    Raises:
        ModelCardError: It has no card, or one of fields that this version does not know.
        ModelError: It is damaged.
        ConversionError: Its folder cannot be written.
    """
    _known_card(ModelFile.open(path).data)
    if not os.access(path.resolve().parent, os.W_OK):
        raise ConversionError(f"{path}: its folder cannot be written, so its card cannot be replaced")


def write_card(path: Path, evaluation: Evaluation) -> Written:
    """Replace the operating points and the probability in a file's card; all else of the file stays.

    The new file is read back before it takes the old one's place, in one step. Of the network no byte changes.

    Args:
        path: The file that was evaluated.
        evaluation: Of that very file.

    Raises:
        ModelError: The file is not the one that was evaluated, or has changed since.
        ModelCardError: No operating point is supported, no card, or a card of unknown fields.
        ConversionError: The file cannot be written; the old one is as it was.
    """
    data = read_model_bytes(path)
    before = hashlib.sha256(data).hexdigest()
    if before != evaluation.artefact.sha256:
        raise ModelError(
            f"{path}: expected the file that was evaluated, SHA-256 {evaluation.artefact.sha256[:12]}...,"
            f" found {before[:12]}...",
            hint="it has changed meanwhile; evaluate it again",
        )
    rows = evaluation.verification.points
    ran = evaluation.artefact
    points = tuple(
        replace(row.operating_point(), runtime=ran.runtime, kernels=ran.kernels)
        for row in rows
        if isinstance(row, OperatingPointEvidence)
    )
    absent = tuple(row for row in rows if isinstance(row, Unsupported))
    if not points:
        raise ModelCardError(
            f"{path}: no operating point can be written: {absent[0].reason if absent else 'none was asked for'}",
            hint="nothing was changed; evaluate on more images, or ask for a higher --fmr",
        )
    card = replace(_known_card(data), operating_points=points, probability=probability_values(evaluation))
    network, files = split(data)
    written = _with_files(card_behind(network, card), files)
    replace_file(path, written, check=ModelFile.open)
    after = hashlib.sha256(written).hexdigest()
    return Written(path, before, after, points, absent, stale_by_products(path, after))


def probability_values(evaluation: Evaluation) -> dict[str, Any]:
    """What a card says of probability; nothing where it was not measured."""
    found = evaluation.probability
    if found is None:
        return {}
    return {
        "slope": found.platt.slope,
        "intercept": found.platt.intercept,
        "mated_trials": found.platt.mated_trials,
        "non_mated_trials": found.platt.non_mated_trials,
        "brier": found.brier,
        "log_loss": found.log_loss,
        "reliability": [
            {
                "low": row.low,
                "high": row.high,
                "count": row.count,
                "mean_probability": row.mean_probability,
                "observed_share": row.observed_share,
            }
            for row in found.bins
        ],
        "data_set": found.data_set,
        "data_set_sha256": found.data_digest,
        "runtime": evaluation.artefact.runtime,
        "kernels": evaluation.artefact.kernels,
    }


def _known_card(data: bytes) -> ModelCard:
    """The card inside, where writing it again loses nothing."""
    files = split(data)[1]
    if CARD_NAME not in files:
        raise ModelCardError(
            "expected a model card inside, found none",
            hint="edge-convert convert writes one into every file it makes",
        )
    card = ModelCard.from_bytes(files[CARD_NAME])
    unknown = sorted(set(json.loads(files[CARD_NAME])) - set(card.to_json()))
    if unknown:
        raise ModelCardError(
            f"model card: expected fields that this version knows, found {', '.join(unknown)}",
            hint="a newer edge-convert made the file; use that one, or they would be lost",
        )
    return card


def _with_files(data: bytes, files: dict[str, bytes]) -> bytes:
    """Put other associated files (labels, notices) back behind the card."""
    others = {name: content for name, content in files.items() if name != CARD_NAME}
    if not others:
        return data
    archive = io.BytesIO(data)
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_STORED) as bundle:
        for name, content in others.items():
            bundle.writestr(zipfile.ZipInfo(name, _EPOCH), content)
    return archive.getvalue()
