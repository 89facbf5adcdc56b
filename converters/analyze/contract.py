"""Check an input contract against the network and the calibration images, before the long work.

A wrong contract converts without an error: every file agrees with the float network under the same wrong contract. The
check reads the normalization inside the network, and compares embeddings of the images under the usual contracts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from converters.analyze.contract_evidence import (
    Candidate,
    Measurement,
    Probe,
    paired,
    stronger,
    swapped,
    usual_candidates,
)
from converters.analyze.input_normalization import InputNormalization, read_normalization
from converters.errors import ContractRefusedError
from converters.graph.graph import Graph
from converters.graph.network import Network
from edge_sdk.model.array_contract import AnyContract, ArrayContract
from edge_sdk.model.card import InputContract
from edge_sdk.types import SampleArray

#: Name of this check for ``allow``.
RULE = "contract"
#: With fewer images, only the normalization inside the network is checked.
LEAST_IMAGES = 6
#: From these mean cosines of different images on, embeddings are alike: in doubt, and refused.
ALIKE, COLLAPSED = 0.99, 0.999
#: Differences of `Measurement.quality` (natural logarithms) and levels of separation; measured in docs/measurements/contract.md.
_FAR_BETTER, _CLEARLY_BETTER, _MUCH_BETTER, _BETTER, _TIED = 2.5, 1.0, 0.7, 0.35, 0.1
_TRAINED, _SEPARATES, _SEPARATES_WELL = 2.5, 4.0, 5.0
_LOW_COSINE = 0.6
#: Evidence for near contracts: standard score and share of the images, and mean change of `Measurement.strength`.
_SCORE, _SHARE, _EFFECT, _NEAR_IMAGES = 4.5, 0.75, 0.02, 16
#: Standard score by which still more contrast must make embeddings weaker again.
_FALL_SCORE = 3.0


@dataclass(frozen=True)
class ContractCandidate:
    """Statistics of one contract. The field names are keys of the JSON report.

    Args:
        name: Name of the contract.
        options: Options of ``edge-convert`` that give it.
        given: True for the contract of this conversion.
        mean_cosine: Mean cosine of different images; near 1 if all look alike.
        separation: d' between changed copies of an image and different images; higher is better.
        norm: Mean L2 norm of the network's output.
    """

    name: str
    options: str
    given: bool
    mean_cosine: float
    separation: float
    norm: float


@dataclass(frozen=True)
class ContractCheck:
    """Result of the check. The field names are keys of the JSON report.

    Args:
        status: ``agrees``; ``undecided`` without enough evidence; ``doubtful`` if another contract may be right; ``refused``;
            ``allowed`` for a refused contract that the user allowed.
        reason: What was measured; empty if the contract agrees.
        better: Options that give the better contract; empty if there is none.
        better_name: Name of the better contract; empty if there is none.
        graph: Normalization at the beginning of the network as a formula; empty if there is none.
        images: Number of images that were measured.
        candidates: Statistics of each contract, the given one first.
    """

    status: str
    reason: str = ""
    better: str = ""
    better_name: str = ""
    graph: str = ""
    images: int = 0
    candidates: tuple[ContractCandidate, ...] = ()

    def note(self) -> str:
        """Return the reason as a note for the report; empty if there is nothing to say."""
        if self.status not in ("doubtful", "allowed"):
            return ""
        cure = f"; the better contract is {self.better}" if self.status == "allowed" and self.better else ""
        if self.status == "doubtful" and self.better:
            cure = f"; check how the network was trained, and try {self.better}"
        allowed = (
            "the input contract was refused and allowed by the user: " if self.status == "allowed" else ""
        )
        return f"{allowed}{self.reason}{cure}"

    def summary(self) -> dict[str, Any]:
        """Return the result without the statistics, for the model card."""
        values = {"status": self.status, "reason": self.reason, "better": self.better, "graph": self.graph}
        return {key: value for key, value in values.items() if value}

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return asdict(self)


def check_contract(
    network: Network,
    contract: AnyContract,
    pixels: SampleArray,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> ContractCheck:
    """Compare a contract with the network's own normalization and with the usual contracts on images.

    Arrays have no usual contracts, so that their check is undecided; their values are checked when they are read.

    Args:
        network: The float network in canonical form.
        contract: The given contract.
        pixels: Shape (n, H, W, C), uint8: calibration images; up to 48 are measured.
        progress: Called with (done, total).
    """
    if isinstance(contract, ArrayContract):
        return ContractCheck("undecided")
    normalization = read_normalization(network.graph)
    graph = "" if normalization is None else normalization.describe()
    candidates = usual_candidates(contract)
    by_graph = None if normalization is None else _by_graph(normalization, candidates)
    if len(pixels) < LEAST_IMAGES:
        return replace(_judge_graph(normalization, candidates[0], by_graph), graph=graph)
    probe = Probe(network, pixels, progress=progress)
    measured = [item for item in map(probe.measure, candidates) if item is not None]
    if not measured or measured[0].candidate is not candidates[0]:
        return ContractCheck("undecided", "the network computes NaN or infinity for some images", graph=graph)
    best = _best(measured, by_graph)
    result = _judge(probe, measured, best, normalization, by_graph)
    statistics = tuple(
        ContractCandidate(
            item.candidate.name,
            item.candidate.options,
            item is measured[0],
            round(item.mean_cosine, 4),
            round(item.separation, 2),
            float(f"{item.norms.mean():.3g}"),
        )
        for item in measured
    )
    return replace(result, graph=graph, images=len(probe.pixels), candidates=statistics)


def raise_if_refused(check: ContractCheck, allow: Collection[str]) -> ContractCheck:
    """Raise an error for a refused contract, or mark it as allowed.

    Raises:
        ContractRefusedError: The contract is refused, and ``allow`` does not contain ``contract``.
    """
    if check.status != "refused":
        return check
    if RULE in allow:
        return replace(check, status="allowed")
    override = f"--allow {RULE} converts with the given contract"
    raise ContractRefusedError(
        f"input contract: {check.reason}; nothing was written",
        hint=f"give {check.better}; {override}"
        if check.better
        else f"check the network and the images; {override}",
    )


def graph_suggestion(graph: Graph) -> tuple[str, str]:
    """Return the normalization at the beginning of a network as a formula, and options of the contract that it suggests.

    Both are empty if the network begins with another operator; the options are empty if no usual contract fits.
    """
    normalization = read_normalization(graph)
    if normalization is None:
        return "", ""
    channels = len(normalization.factor)
    raw = InputContract(16, 16, "rgb" if channels == 3 else "gray", (0.0,) * channels, (1.0,) * channels)
    candidate = _by_graph(normalization, usual_candidates(raw))
    options = "" if candidate is None else candidate.options.partition(" --")[2]
    return normalization.describe(), f"--{options}" if options else ""


def _by_graph(normalization: InputNormalization, candidates: list[Candidate]) -> Candidate | None:
    """Return the first contract that fits the network's own normalization; the given one if it fits."""
    return next((item for item in candidates if normalization.fits(item.contract)), None)


def _judge_graph(
    normalization: InputNormalization | None, given: Candidate, by_graph: Candidate | None
) -> ContractCheck:
    """Judge by the network's own normalization alone."""
    if normalization is None or by_graph is None:
        return ContractCheck("undecided")
    if by_graph is given:
        return ContractCheck("agrees")
    status = "refused" if normalization.far_from(given.contract) else "doubtful"
    return ContractCheck(status, _graph_reason(normalization, given), by_graph.options, by_graph.name)


def _graph_reason(normalization: InputNormalization, given: Candidate) -> str:
    low, high = normalization.range_of(given.contract)
    own = given.contract.real_range
    return (
        f"the network itself computes {normalization.describe()}, but the contract gives {_short(own[0])}.."
        f"{_short(own[1])}, so the first layer gets {_short(low)}..{_short(high)}"
    )


def _best(measured: list[Measurement], by_graph: Candidate | None) -> Measurement:
    """Choose the contract of the best quality; among nearly equal ones, the graph's, otherwise the one of most strength."""
    top = max(item.quality for item in measured)
    tied = [item for item in measured if item.quality >= top - _TIED]
    for item in tied:
        if item.candidate is by_graph:
            return item
    return max(tied, key=lambda item: float(item.strength.mean()))


def _judge(
    probe: Probe,
    measured: list[Measurement],
    best: Measurement,
    normalization: InputNormalization | None,
    by_graph: Candidate | None,
) -> ContractCheck:
    given = measured[0]
    by_itself = _judge_graph(normalization, given.candidate, by_graph)
    gain = best.quality - given.quality
    alike = f"the embeddings of different images have a mean cosine of {given.mean_cosine:.3f}"
    if best is not given and _refuses(given, best, gain):
        reason = (
            f"under {given.candidate.name} {alike}, under {best.candidate.name} {best.mean_cosine:.3f}"
            f" (separation from changed copies: {given.separation:.1f} and {best.separation:.1f})"
        )
        if by_graph is not None and by_graph is not given.candidate and normalization is not None:
            reason = f"{_graph_reason(normalization, given.candidate)}; {reason}"
        return ContractCheck("refused", reason, best.candidate.options, best.candidate.name)
    by_graph_measured = next((item for item in measured if item.candidate is by_graph), given)
    contradicted = by_graph_measured.quality < given.quality - _BETTER
    if by_itself.status == "refused" and not contradicted:
        return by_itself
    if given.mean_cosine >= ALIKE:
        return _judge_alike(given, best)
    if by_itself.status == "doubtful" and not contradicted:
        return by_itself
    if best is not given and _doubts(best, gain):
        return ContractCheck(
            "doubtful",
            f"{best.candidate.name} separates the images better than {given.candidate.name}: mean cosine of different"
            f" images {best.mean_cosine:.3f} and {given.mean_cosine:.3f}, separation from changed copies"
            f" {best.separation:.1f} and {given.separation:.1f}",
            best.candidate.options,
            best.candidate.name,
        )
    return _judge_near(probe, measured)


def _judge_alike(given: Measurement, best: Measurement) -> ContractCheck:
    """Judge a contract under which all images look alike, if no other contract has the quality of a trained network."""
    status = "refused" if given.mean_cosine >= COLLAPSED else "doubtful"
    alike = f"the embeddings of different images have a mean cosine of {given.mean_cosine:.4f}"
    if best.mean_cosine < ALIKE:
        return ContractCheck(
            status,
            f"under {given.candidate.name} {alike}, under {best.candidate.name} {best.mean_cosine:.4f}",
            best.candidate.options,
            best.candidate.name,
        )
    return ContractCheck(status, f"the network is collapsed: {alike}, and no usual contract separates them")


def _refuses(given: Measurement, best: Measurement, gain: float) -> bool:
    far = gain >= _FAR_BETTER and best.separation >= _TRAINED and given.mean_cosine >= _LOW_COSINE
    enough = len(given.outputs) >= _NEAR_IMAGES
    well = best.separation >= _SEPARATES_WELL and best.mean_cosine <= _LOW_COSINE
    return far or (enough and well and gain >= _CLEARLY_BETTER)


def _doubts(best: Measurement, gain: float) -> bool:
    well = gain >= _BETTER and best.separation >= _SEPARATES_WELL and best.mean_cosine <= _LOW_COSINE
    return well or (gain >= _MUCH_BETTER and best.separation >= _SEPARATES)


def _judge_near(probe: Probe, measured: list[Measurement]) -> ContractCheck:
    """Compare the given contract with those of nearly equal quality, and with the other channel order."""
    given = measured[0]
    if len(given.outputs) < _NEAR_IMAGES or given.separation < _SEPARATES_WELL:
        return ContractCheck("agrees" if given.separation >= _SEPARATES else "undecided")
    near = [item for item in measured[1:] if abs(item.quality - given.quality) < _BETTER]
    best: Measurement | None = None
    for item in near:
        if _is_stronger(probe, item, given) and (best is None or item.strength.mean() > best.strength.mean()):
            best = item
    if best is not None:
        return _near_result(given, best)
    turned = swapped(given.candidate)
    other = None if turned is None else probe.measure(turned)
    if other is not None and _exceeds(other, given) and other.mean_cosine <= given.mean_cosine + 0.03:
        return _near_result(given, other, "; the channel order may be wrong")
    return ContractCheck("agrees")


def _near_result(given: Measurement, best: Measurement, remark: str = "") -> ContractCheck:
    mean, score, share = paired(best.strength, given.strength)
    return ContractCheck(
        "doubtful",
        f"on {share:.0%} of the images {best.candidate.name} gives longer or more different embeddings than"
        f" {given.candidate.name} (norm times distance to other images {np.exp(mean):.2f} times as large, standard"
        f" score {score:.1f}){remark}",
        best.candidate.options,
        best.candidate.name,
    )


def _exceeds(item: Measurement, given: Measurement) -> bool:
    mean, score, share = paired(item.strength, given.strength)
    return mean >= _EFFECT and score >= _SCORE and share >= _SHARE


def _is_stronger(probe: Probe, item: Measurement, given: Measurement) -> bool:
    """Decide whether a near contract gives stronger embeddings than the given one, and not only by its contrast.

    Many networks give larger outputs for inputs of more contrast. If the contract has more contrast than the given one,
    still more contrast must make its embeddings weaker again.
    """
    if not _exceeds(item, given) or item.mean_cosine > given.mean_cosine + 0.03:
        return False
    if item.separation < 0.8 * given.separation:
        return False
    contrast = item.candidate.contrast
    if contrast <= 1.05 * given.candidate.contrast:
        return True
    outputs = probe.outputs(stronger(item.candidate))
    if outputs is None:
        return False
    beyond = Measurement(item.candidate, outputs, item.mated)
    return paired(item.strength, beyond.strength)[1] >= _FALL_SCORE


def _short(value: float) -> str:
    return f"{value:.4g}"
