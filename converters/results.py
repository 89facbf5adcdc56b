"""What a person reads after a conversion, and the same as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from converters.analyze.gates import Gate
from converters.targets.check import TargetReport
from edge_sdk.model.card import InputContract

SCHEMA = "edge-sdk/conversion-report/1"

# Where int8 stops being the same embedding: found on face networks, where a mean cosine of 0.99 left TAR at
# FMR 1e-3 within a point of float and 0.85 lost up to 19 points. A rule of thumb, and said as one.
_CLOSE, _FAR = 0.99, 0.95


@dataclass(frozen=True)
class ReportVerdict:
    """What a reader should do, and on what ground.

    Args:
        level: ``good``, ``caution``, ``bad``, or ``open`` where nothing was measured that decides.
        sentence: The conclusion, without a full stop.
        basis: What was found; empty where nothing was.
    """

    level: str
    sentence: str
    basis: str

    def line(self) -> str:
        """Both in one line."""
        return f"{self.basis}: {self.sentence}" if self.basis else self.sentence


@dataclass(frozen=True)
class ArtefactResult:
    """One file that was made.

    Args:
        file: Its name.
        recipe: How it was made.
        precision: ``float32``, ``float16``, ``dynamic`` or ``int8``.
        size_bytes: Of the whole file.
        operators: How often each operator occurs.
        partitions: In how many parts XNNPACK runs it on this host.
        gates: What it was held against.
        cosine_mean: Mean cosine of its embeddings to the float model's.
        cosine_min: The least of them.
        worst_image: Which image that was.
        latency_ms: Median of one invoke, one thread, on this host; only ratios within a report count.
    """

    file: str
    recipe: str
    precision: str
    size_bytes: int
    operators: Mapping[str, int]
    partitions: int
    gates: tuple[Gate, ...]
    cosine_mean: float
    cosine_min: float
    worst_image: str
    latency_ms: float


@dataclass(frozen=True)
class ConversionResult:
    """What a conversion did.

    Args:
        name: The model's name.
        contract: Its input contract.
        dimension: Length of the embedding.
        source: What was converted.
        agreement: Least cosine of the float network to its source's own runtime.
        notes: What a person should know.
        calibration: Images used and their digest.
        measured_on: How many images fidelity was measured on.
        held_out: Whether calibration had not seen these.
        artefacts: The files, the float one first.
        searches: How a recipe was found, by its name, where it was searched for: ``SearchResult.to_json``.
        targets: What each target says of what was made for it.
        recoveries: What training gave, by the recipe's name, where a network was trained: ``Recovered.to_json``.
    """

    name: str
    contract: InputContract
    dimension: int
    source: Mapping[str, Any]
    agreement: float
    notes: tuple[str, ...]
    calibration: Mapping[str, Any]
    measured_on: int
    held_out: bool
    artefacts: tuple[ArtefactResult, ...]
    searches: Mapping[str, Any] = field(default_factory=dict)
    targets: tuple[TargetReport, ...] = ()
    recoveries: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        out = {"schema": SCHEMA, "verdict": self.verdict(), **asdict(self)}
        out["contract"] = self.contract.to_json()
        return out

    def verdict(self) -> str:
        """One sentence: what the integer file is worth, as far as cosine can tell."""
        return self.judge().line()

    def judge(self) -> ReportVerdict:
        """The same in its parts."""
        integer = [a for a in self.artefacts if a.precision == "int8"]
        if not integer:
            return ReportVerdict("open", "there is no integer file to judge", "")
        worst = min(integer, key=lambda a: a.cosine_mean)
        basis = f"{worst.file} has a mean cosine of {worst.cosine_mean:.4f} (minimum {worst.cosine_min:.4f}) to float"
        if worst.cosine_mean >= _CLOSE:
            return ReportVerdict(
                "good", "close to the float model; measure its own thresholds before using it", basis
            )
        if worst.cosine_mean >= _FAR:
            return ReportVerdict(
                "caution",
                "noticeably different from the float model; measure its error rates before using it",
                basis,
            )
        return ReportVerdict(
            "bad", "far from the float model; do not use it before its error rates are measured", basis
        )

    def to_text(self) -> str:
        """The report for a terminal."""
        reference = self.artefacts[0].latency_ms
        width = max(len(artefact.file) for artefact in self.artefacts)
        lines = [
            f"{self.name}: {self.source['kind']} {self.source['file']}, {self.contract.describe()},"
            f" {self.dimension} values",
            f"the float network agrees with its source: cosine {self.agreement:.6f} or more",
            *(f"note: {note}" for note in self.notes),
            *self._search_lines(),
            *self._recovery_lines(),
            "",
            f"{'file':<{width}} {'size':>9} {'cosine to float':>17} {'time':>7}  {'XNNPACK':<12} gates",
        ]
        for artefact in self.artefacts:
            passed = sum(gate.passed for gate in artefact.gates)
            lines.append(
                f"{artefact.file:<{width}} {artefact.size_bytes / 1e6:>6.2f} MB"
                f" {artefact.cosine_mean:>8.4f} / {artefact.cosine_min:.4f}"
                f" {artefact.latency_ms / reference:>6.2f}x  "
                f"{artefact.partitions} partition{'s' if artefact.partitions != 1 else ' '}"
                f" {passed} of {len(artefact.gates)}"
            )
        where = (
            "images that calibration has not seen" if self.held_out else "the calibration images themselves"
        )
        lines += ["", f"cosine: mean / least, on {self.measured_on} {where}; time: one thread, this host"]
        for section in self.targets:
            lines += ["", *section.lines()]
        return "\n".join([*lines, "", f"verdict: {self.verdict()}"])

    def _search_lines(self) -> list[str]:
        lines = []
        for name, found in self.searches.items():
            goal = "reached" if found["met"] else "missed, the best found is written"
            lines += ["", f"{name}: searched for {found['budget']['goal']}: {goal}"]
            lines += [
                f"  {trial['cosine_mean']:.4f} / {trial['cosine_min']:.4f}  {'+' if trial['kept'] else ' '}"
                f" {trial['what']}{_beside(found, trial)}"
                for trial in found["trials"]
            ]
        return lines

    def _recovery_lines(self) -> list[str]:
        return [
            line
            for name, found in self.recoveries.items()
            for line in (
                "",
                f"{name}: recovered from cosine {found['before']:.4f} to {found['after']:.4f} on the selection"
                f" images in {found['steps']} steps on {found['images']} images"
                + (f", with {found['leaky']} PReLUs as LeakyReLU" if found["leaky"] else "")
                + (f"; note: {found['note']}" if found["note"] else ""),
            )
        ]


def _beside(search: Mapping[str, Any], trial: Mapping[str, Any]) -> str:
    """What the budget found, where it is more than the cosine that is shown anyway."""
    told = search["budget"]["kind"] != "cosine" or "max_time_ratio" in search["budget"]
    return f": {trial['found']}" if told else ""
