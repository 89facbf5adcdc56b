"""Write measured operating points and score probabilities into the card of the measured file."""

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
from converters.evaluate.metrics.evidence import Unsupported
from converters.evaluate.metrics.verification_evidence import OperatingPointEvidence, VerificationEvidence
from converters.evaluate.runner.evaluate import Evaluation
from converters.evaluate.runner.text import measured_with, refusal_lines
from converters.graph.attach_card import card_behind
from converters.output import replace_file
from converters.targets.finishing import stale_by_products
from converters.targets.rule import join_names
from edge_sdk.errors import ModelCardError, ModelError
from edge_sdk.model.card import CARD_NAME, ModelCard
from edge_sdk.model.model_file import ModelFile, read_model_bytes, split
from edge_sdk.model.non_mated_scores import NonMatedScores
from edge_sdk.model.operating_point import OperatingPoint

#: Default FMRs of a card's operating points.
CARD_FMRS = (1e-2, 1e-3, 1e-4, 1e-5)
# A fixed time stamp, so that the same content gives the same bytes.
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class CardUpdate:
    """Result of writing a card.

    Args:
        file: The file.
        sha256_before: SHA-256 of the whole file as measured, hex.
        sha256: SHA-256 of the whole file now, hex. Galleries are bound to it.
        points: The operating points that the card now contains.
        absent: FMRs that the data cannot support, with the number of subjects needed.
        outdated: Stale by-products of each target: files in the same folder, generated from the earlier file.
    """

    file: Path
    sha256_before: str
    sha256: str
    points: tuple[OperatingPoint, ...]
    absent: tuple[Unsupported, ...]
    outdated: Mapping[str, tuple[str, ...]]

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "file": self.file.name,
            "sha256_before": self.sha256_before,
            "sha256": self.sha256,
            "operating_points": [point.to_json() for point in self.points],
            "absent": [reason.to_json() for reason in self.absent],
            "outdated": {target: list(names) for target, names in self.outdated.items()},
        }

    def to_text(self) -> str:
        """Format the result for a terminal."""
        measured = measured_with(self.points[0].kernels, self.points[0].runtime)
        lines = [f"written into the card of {self.file}: {len(self.points)} operating points, for {measured}"]
        lines += [f"  {point.describe()}" for point in self.points]
        lines += [line for reason in self.absent for line in refusal_lines(reason)]
        lines += [
            f"SHA-256 was {self.sha256_before}",
            f"SHA-256 is  {self.sha256}",
            "galleries made with the earlier file keep their subjects: store the new thresholds in each of them with"
            " edge-sdk gallery policy",
            "a gallery that was last changed by edge-sdk 0.2 is bound to the earlier file: run edge-sdk gallery"
            " bind-model --original EARLIER_FILE first",
        ]
        for target, names in self.outdated.items():
            lines += [
                f"generated from the earlier file, without these thresholds: {join_names(names)}",
                f"  generate them again: edge-convert finish {shlex.quote(str(self.file))} --target {target}",
            ]
        return "\n".join(lines)


def check_writable(path: Path) -> None:
    """Check that a file's card can be replaced, before a long measurement.

    Raises:
        ModelCardError: The file has no card, or its card has fields that this version does not know.
        ModelError: The file is damaged.
        ConversionError: The folder of the file is not writable.
    """
    _known_card(ModelFile.open(path).data)
    if not os.access(path.resolve().parent, os.W_OK):
        raise ConversionError(f"{path}: the folder is not writable, so the card cannot be replaced")


def write_card(path: Path, evaluation: Evaluation) -> CardUpdate:
    """Replace the operating points and the probability in a file's card; the rest of the file stays.

    The new file is read back before it atomically replaces the old one. The bytes of the network do not change.

    Args:
        path: The evaluated file.
        evaluation: Its evaluation.

    Raises:
        ModelError: The file is not the evaluated one, or has changed since.
        ModelCardError: No operating point is supported, or the file has no card or a card with unknown fields.
        ConversionError: The file cannot be written; the old file is unchanged.
    """
    data = read_model_bytes(path)
    before = hashlib.sha256(data).hexdigest()
    if before != evaluation.artefact.sha256:
        raise ModelError(
            f"{path}: expected the file that was evaluated, SHA-256 {evaluation.artefact.sha256[:12]}...,"
            f" found {before[:12]}...",
            hint="the file has changed since; evaluate it again",
        )
    rows = evaluation.verification.points
    identity = evaluation.artefact
    claims = [(row, row if isinstance(row, Unsupported) else row.claim) for row in rows]
    points = tuple(
        replace(row.operating_point(), runtime=identity.runtime, kernels=identity.kernels)
        for row, claim in claims
        if isinstance(row, OperatingPointEvidence) and not isinstance(claim, Unsupported)
    )
    absent = tuple(claim for _, claim in claims if isinstance(claim, Unsupported))
    if not points:
        raise ModelCardError(
            f"{path}: no operating point can be written: {absent[0].reason if absent else 'none was requested'}",
            hint="the file is unchanged; evaluate on images of more subjects, or give a higher --fmr; with the faces of one household,"
            " use the evidence of a kit and check it with edge-sdk face evidence",
        )
    card = replace(
        _known_card(data),
        operating_points=points,
        probability=probability_values(evaluation),
        non_mated_scores=non_mated_scores(evaluation.verification),
    )
    network, files = split(data)
    data_after = _with_files(card_behind(network, card), files)
    after = hashlib.sha256(data_after).hexdigest()
    stale = stale_by_products(path, after)  # before the file changes, since it reads other files
    replace_file(path, data_after, check=ModelFile.open)
    return CardUpdate(path, before, after, points, absent, stale)


def non_mated_scores(evidence: VerificationEvidence) -> NonMatedScores | None:
    """Return the distribution of the non-mated scores for a card; None if the data cannot state it."""
    mean, sd, check = evidence.non_mated_mean, evidence.non_mated_sd, evidence.check_point
    if mean is None or sd is None or sd <= 0.0 or isinstance(check, Unsupported):
        return None
    threshold, fmr = check
    return NonMatedScores(
        mean=mean,
        sd=sd,
        threshold=min(threshold, 1.0),
        fmr=fmr,
        comparisons=evidence.non_mated_trials,
        subjects=evidence.subjects,
        data_set=evidence.data_set,
        data_set_sha256=evidence.data_digest,
    )


def probability_values(evaluation: Evaluation) -> dict[str, Any]:
    """Collect the probability values of a card; empty if the probability was not measured."""
    probability = evaluation.probability
    if probability is None:
        return {}
    return {
        "slope": probability.platt.slope,
        "intercept": probability.platt.intercept,
        "prior": probability.platt.prior,
        "method": probability.platt.method,
        "mated_trials": probability.platt.mated_trials,
        "non_mated_trials": probability.platt.non_mated_trials,
        "subjects": probability.subjects,
        "validation": probability.validation,
        "brier": probability.brier,
        "log_loss": probability.log_loss,
        "cllr": probability.cllr,
        "min_cllr": probability.min_cllr,
        "reliability": [
            {
                "low": row.low,
                "high": row.high,
                "count": row.count,
                "mean_probability": row.mean_probability,
                "observed_share": row.observed_share,
            }
            for row in probability.bins
        ],
        "data_set": probability.data_set,
        "data_set_sha256": probability.data_digest,
        "runtime": evaluation.artefact.runtime,
        "kernels": evaluation.artefact.kernels,
    }


def _known_card(data: bytes) -> ModelCard:
    """Read the card of a file; refuse a card that would lose fields if written again."""
    files = split(data)[1]
    if CARD_NAME not in files:
        raise ModelCardError(
            "expected a model card inside, found none",
            hint="edge-convert convert writes a card into every file it makes",
        )
    card = ModelCard.from_bytes(files[CARD_NAME])
    unknown = sorted(set(json.loads(files[CARD_NAME])) - set(card.to_json()))
    if unknown:
        raise ModelCardError(
            f"model card: expected fields that this version knows, found {', '.join(unknown)}",
            hint="the file was made by a newer edge-convert; use that version, or the fields would be lost",
        )
    return card


def _with_files(data: bytes, files: dict[str, bytes]) -> bytes:
    """Append the other associated files (labels, notices) after the card."""
    others = {name: content for name, content in files.items() if name != CARD_NAME}
    if not others:
        return data
    archive = io.BytesIO(data)
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_STORED) as bundle:
        for name, content in others.items():
            bundle.writestr(zipfile.ZipInfo(name, _EPOCH), content)
    return archive.getvalue()
