"""Evidence of a kit: error rates that were measured with one network, and the card of a network that they hold for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from converters.errors import ConversionError
from edge_sdk.errors import ModelCardError
from edge_sdk.gallery.rules.policy import DecisionPolicy
from edge_sdk.model.card import ModelCard
from edge_sdk.model.json_fields import JsonFields, json_object, text
from edge_sdk.model.model_id import space_id
from edge_sdk.model.non_mated_scores import NonMatedScores
from edge_sdk.model.operating_point import OperatingPoint

SCHEMA = "edge-sdk/kit-evidence/1"


@dataclass(frozen=True)
class KitEvidence:
    """Error rates of one embedding network, measured with aligned crops and end to end from photographs.

    Args:
        space: Id of the embedding space of the measured network, hex; see `space_id`.
        recorded_sha256: SHA-256 of the int8 network that is recorded in the recipe of the measured network, hex.
        detector_sha256: SHA-256 of the detector network of the measurement, hex.
        operating_points: Claims for the card: at each FMR, the one with the higher threshold of both protocols.
        probability: Calibration of the scores for the card, end to end.
        non_mated_scores: Distribution of the scores of different subjects for the card, end to end.
        protocols: All results, by protocol.
        measured_with: Runtime, kernels and versions of the packages that computed the figures.
    """

    space: str
    recorded_sha256: str
    detector_sha256: str
    operating_points: tuple[OperatingPoint, ...]
    probability: Mapping[str, Any]
    non_mated_scores: NonMatedScores | None
    protocols: Mapping[str, Any]
    measured_with: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the evidence as JSON values; the schema is the first key."""
        scores = self.non_mated_scores
        return {
            "schema": SCHEMA,
            "space": self.space,
            "recorded_sha256": self.recorded_sha256,
            "detector_sha256": self.detector_sha256,
            "measured_with": dict(self.measured_with),
            "operating_points": [point.to_json() for point in self.operating_points],
            "probability": dict(self.probability),
            "non_mated_scores": None if scores is None else scores.to_json(),
            "protocols": dict(self.protocols),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> KitEvidence:
        """Read the evidence.

        Raises:
            ConversionError: The schema is unknown, or a field is missing or malformed.
        """
        if value.get("schema") != SCHEMA:
            raise ConversionError(
                f"evidence of a kit: expected schema {SCHEMA}, found {value.get('schema')!r}"
            )
        fields = JsonFields(value, "evidence of a kit")
        try:
            return cls(
                space=fields.read("space", text),
                recorded_sha256=fields.read("recorded_sha256", text),
                detector_sha256=fields.read("detector_sha256", text),
                operating_points=fields.read(
                    "operating_points", lambda points: tuple(map(OperatingPoint.from_json, points))
                ),
                probability=fields.read("probability", json_object),
                non_mated_scores=fields.optional("non_mated_scores", NonMatedScores.from_json),
                protocols=fields.read("protocols", json_object),
                measured_with=fields.read("measured_with", json_object),
            )
        except ModelCardError as error:
            raise ConversionError(str(error), hint=error.hint) from error

    def is_of(self, card: ModelCard) -> bool:
        """Return True if the card belongs to the measured network and input contract."""
        return space_id(card.network_sha256, card.input).hex() == self.space

    def attached_to(self, card: ModelCard) -> ModelCard:
        """Return a card with this evidence in place of its own."""
        return replace(
            card,
            operating_points=self.operating_points,
            probability=self.probability,
            non_mated_scores=self.non_mated_scores,
        )


def read_evidence(path: Path) -> KitEvidence:
    """Read an evidence file.

    Raises:
        ConversionError: The file cannot be read, is not JSON, or is malformed.
    """
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise ConversionError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise ConversionError(f"{path}: expected JSON: {error}") from error
    if not isinstance(value, dict):
        raise ConversionError(f"{path}: expected an object, found {type(value).__name__}")
    return KitEvidence.from_json(value)


def stricter_points(
    first: Sequence[OperatingPoint], second: Sequence[OperatingPoint]
) -> tuple[OperatingPoint, ...]:
    """Choose, for each FMR that both protocols support, the operating point with the higher threshold.

    Its claim holds for both protocols, because FMR falls with the threshold. An FMR that only one protocol supports is left out.

    Returns:
        The points in the order of `first`.
    """
    by_fmr = {point.fmr: point for point in second}
    pairs = [(point, by_fmr[point.fmr]) for point in first if point.fmr in by_fmr]
    return tuple(max(pair, key=lambda point: point.threshold) for pair in pairs)


@dataclass(frozen=True)
class GalleryRate:
    """FPIR for a gallery of a given size.

    Args:
        fpir: False positive identification rate, 0..1.
        templates: Number of templates in the gallery.
    """

    fpir: float
    templates: int

    def point(self, points: Sequence[OperatingPoint]) -> OperatingPoint:
        """Return the operating point with the greatest FMR that keeps this rate; raises ModelCardError if there is none."""
        return self.point_at(points, self.templates)

    def point_at(self, points: Sequence[OperatingPoint], templates: int) -> OperatingPoint:
        """Return the point for another number of templates; see `point`."""
        return OperatingPoint.for_identification(points, fpir=self.fpir, references=templates)

    def most(self, points: Sequence[OperatingPoint]) -> int:
        """Return the largest number of templates for which the points keep this rate, as `setup` states it."""
        return DecisionPolicy(tuple(points), fpir=self.fpir).most_references()


#: Rates that a kit may state, the best first: a household of ten people with five pictures each, or a few people.
GALLERY_RATES = (GalleryRate(1e-3, 50), GalleryRate(1e-2, 50), GalleryRate(1e-2, 10))


def supported_rate(points: Sequence[OperatingPoint]) -> GalleryRate | None:
    """Return the first of ``GALLERY_RATES`` that the operating points of a card support; None if they support none."""
    for rate in GALLERY_RATES:
        try:
            rate.point(points)
        except ModelCardError:
            continue
        return rate
    return None
