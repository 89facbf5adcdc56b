"""Quality of aligned crops without a detector, for enrolment from crops."""

from __future__ import annotations

from collections.abc import Sequence

from edge_sdk.errors import AcquisitionError
from edge_sdk.model.card import InputContract
from edge_sdk.model.landmark_template import arcface
from edge_sdk.types import UInt8Array
from edge_sdk.vision.alignment import align, template_of
from edge_sdk.vision.detail import measure_detail
from edge_sdk.vision.quality import Limits, detail_refusals
from edge_sdk.vision.resize import fit

_CONTRACT = InputContract(112, 112, "rgb", (0.0,) * 3, (1.0,) * 3, arcface(112, 112))


def check_crops(crops: Sequence[tuple[str, UInt8Array]], contract: InputContract, limits: Limits) -> None:
    """Check that aligned crops of a face show uncovered eyes and mouth, without blur, in even light.

    Only `Detail` is judged, because a crop has no landmarks. Nothing is checked if the contract is not one for aligned
    RGB faces.

    Args:
        crops: Names and crops, each of shape (H, W, 3), uint8, RGB.
        contract: Input contract of the embedder; its template gives the places of the landmarks.
        limits: Limits of enrolment.

    Raises:
        AcquisitionError: A crop is refused. The message lists all refused crops, the hint all instructions.
        InputError: A crop is malformed.
    """
    if contract.alignment is None or contract.channels != 3 or not limits.judge_detail:
        return
    template = template_of(contract)
    messages, hints = [], []
    for name, crop in crops:
        face = align(fit(crop, contract.height, contract.width), template, _CONTRACT)
        for refusal in detail_refusals(measure_detail(face), limits):
            messages.append(f"{name}: {refusal.reason}, {refusal.message}")
            hints.append(refusal.hint)
    if messages:
        raise AcquisitionError("; ".join(messages), reason="enrolment", hint="; ".join(dict.fromkeys(hints)))
