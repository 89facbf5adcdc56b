"""Evidence of a kit: which thresholds go into a card, and which FPIR they support."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from converters.errors import ConversionError
from converters.kit.evidence import KitEvidence, stricter_points, supported_rate
from edge_sdk.model.card import InputContract, ModelCard
from edge_sdk.model.model_id import space_id
from edge_sdk.model.non_mated_scores import NonMatedScores
from edge_sdk.model.operating_point import OperatingPoint

Make = Callable[..., OperatingPoint]


def evidence_of(card: ModelCard, points: tuple[OperatingPoint, ...]) -> KitEvidence:
    return KitEvidence(
        space=space_id(card.network_sha256, card.input).hex(),
        recorded_sha256="2" * 64,
        detector_sha256="0" * 64,
        operating_points=points,
        probability={"slope": 30.0, "intercept": -9.0},
        non_mated_scores=NonMatedScores(0.02, 0.09, 0.3, 0.01, 40_000, 300, "drawn", "1" * 64),
        protocols={},
        measured_with={"kernels": "xnnpack"},
    )


def test_the_stricter_threshold_of_both_protocols_is_kept(make_evidence: Make) -> None:
    aligned = (make_evidence(fmr=1e-2, threshold=0.3), make_evidence(fmr=1e-3, threshold=0.5))
    door = (make_evidence(fmr=1e-3, threshold=0.4), make_evidence(fmr=1e-2, threshold=0.35))
    assert stricter_points(aligned, door) == (door[1], aligned[1])


def test_an_fmr_that_one_protocol_does_not_support_is_left_out(make_evidence: Make) -> None:
    assert stricter_points((make_evidence(fmr=1e-3),), (make_evidence(fmr=1e-2),)) == ()


@pytest.mark.parametrize(("fmr", "fpir", "templates"), [(2e-5, 1e-3, 50), (2e-4, 1e-2, 50), (1e-3, 1e-2, 10)])
def test_the_rate_is_the_best_that_the_claims_support(
    make_evidence: Make, fmr: float, fpir: float, templates: int
) -> None:
    rate = supported_rate([make_evidence(fmr=fmr, non_mated_trials=1_000_000)])
    assert rate is not None
    assert (rate.fpir, rate.templates) == (fpir, templates)


def test_a_weak_claim_supports_no_rate(make_evidence: Make) -> None:
    assert supported_rate([make_evidence(fmr=1e-2)]) is None
    assert supported_rate([]) is None


def test_evidence_holds_for_its_network_and_contract_only(
    make_card: Callable[..., ModelCard], make_contract: Callable[..., InputContract], make_evidence: Make
) -> None:
    card = make_card(network_sha256="a" * 64)
    evidence = evidence_of(card, (make_evidence(),))
    assert evidence.is_of(card)
    assert evidence.is_of(replace(card, name="other", operating_points=(make_evidence(fmr=1e-2),)))
    assert not evidence.is_of(replace(card, network_sha256="b" * 64))
    assert not evidence.is_of(replace(card, input=make_contract(color="bgr")))


def test_evidence_is_read_back_and_goes_into_a_card(
    make_card: Callable[..., ModelCard], make_evidence: Make
) -> None:
    card = make_card(network_sha256="a" * 64)
    evidence = evidence_of(card, (make_evidence(), make_evidence(fmr=1e-2, threshold=0.9)))
    assert KitEvidence.from_json(json.loads(json.dumps(evidence.to_json()))) == evidence
    attached = ModelCard.from_bytes(evidence.attached_to(card).to_bytes())
    assert attached.operating_points == evidence.operating_points
    assert attached.non_mated_scores == evidence.non_mated_scores
    assert attached.probability == evidence.probability


@pytest.mark.parametrize(
    "change", [{"schema": "edge-sdk/kit-evidence/9"}, {"space": 7}, {"operating_points": 3}]
)
def test_malformed_evidence_is_refused(
    make_card: Callable[..., ModelCard], make_evidence: Make, change: dict[str, object]
) -> None:
    value = evidence_of(make_card(), (make_evidence(),)).to_json()
    with pytest.raises(ConversionError, match="evidence of a kit"):
        KitEvidence.from_json({**value, **change})
