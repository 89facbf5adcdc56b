"""Results of a conversion, as text for a terminal and as JSON values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from converters.analyze.calibration_check import CalibrationCheck
from converters.analyze.collapse import CollapseCheck
from converters.analyze.contract import ContractCheck
from converters.analyze.gates import Gate
from converters.analyze.replay_check import ReplayCheck
from converters.evaluate.metrics import ScoreNoise, SmoothedDifference, Unsupported, margin
from converters.evaluate.metrics.margin import DEFAULT_MARGIN
from converters.evaluate.runner.difference_text import pooled_lines
from converters.refused import RefusedFile, RefusedTarget
from converters.targets.check import TargetReport
from edge_sdk.model.array_contract import AnyContract

SCHEMA = "edge-sdk/conversion-report/1"

# Limits of the noise of scores as a share of the spread between different images. Noise r widens the scores of strangers by
# sqrt(1 + r^2). Measured on face networks (docs/measurements/int8.md): up to 0.15 the TAR over FMR 1e-4..1e-2 fell by less
# than 0.8 points, at 0.32 by 3, and at 0.79 by 7.
_CLOSE, _FAR = 0.15, 0.3
# Limits of the mean cosine for recordings of earlier versions, which have no scores.
_CLOSE_COSINE, _FAR_COSINE = 0.99, 0.95
# With n images, one further image in n + 1 is expected to be worse than the worst: here 1 in 16.
_LEAST_IMAGES = 15
#: With this number of calibration images, enough of them are held out for a verdict.
IMAGES_TO_TELL = 6 * _LEAST_IMAGES
_SEVERITY = ("bad", "caution", "open", "good")
_SENTENCES = {
    "good": "close to the float model; measure its own thresholds before using it",
    "caution": "noticeably different from the float model; measure its error rates before using it",
    "bad": "far from the float model; do not use it before its error rates are measured",
}


@dataclass(frozen=True)
class ReportVerdict:
    """Conclusion of a report.

    Args:
        level: ``good``, ``caution``, ``bad``, or ``open`` if there is no measurement to judge by.
        sentence: The conclusion, without a full stop.
        basis: The measurement behind the conclusion; empty if there is none.
    """

    level: str
    sentence: str
    basis: str

    def line(self) -> str:
        """Join basis and conclusion into one line."""
        return f"{self.basis}: {self.sentence}" if self.basis else self.sentence


@dataclass(frozen=True)
class ArtefactResult:
    """One artefact of a conversion.

    Args:
        file: Name of the file.
        recipe: Name of the recipe.
        precision: ``float32``, ``float16``, ``dynamic`` or ``int8``.
        size_bytes: Size of the file.
        operators: Number of operators of each kind.
        partitions: Number of XNNPACK partitions on this host.
        gates: Outcome of each gate.
        cosine_mean: Mean cosine of its embeddings to the float model's.
        cosine_min: The least of these cosines.
        worst_image: Name of the image with the least cosine.
        latency_ms: Wall time of the fastest inference on one thread of this host; times of different reports cannot be
            compared.
        processor_ms: Processor time of the inference with the least.
        time_ratio: This processor time as a share of the float network's; None if it is unreliable under the load of the
            machine.
        measured_on: Number of images of the cosines.
        search: Recipe under which its search is reported; artefacts with equal recipes share one. Empty without a search.
        goal: Budget by which it is judged, as text; empty if there is none.
        met: False if the file misses this budget.
        basis: Images of the cosines: ``images`` for those of this conversion, ``recorded`` for those of the conversion
            that recorded the replayed recipe, ``generated`` for generated inputs, ``drawn`` for drawn pictures.
        held_out: True if calibration did not use the images of the cosines.
        noise: Noise of the scores of these images; None for the float network's own artefact, for generated inputs and for
            recordings of earlier versions.
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
    processor_ms: float = 0.0
    time_ratio: float | None = None
    measured_on: int = 0
    basis: str = "images"
    held_out: bool = True
    noise: ScoreNoise | None = None
    search: str = ""
    goal: str = ""
    met: bool = True

    def relative_time(self) -> str:
        """Return the time as a share of the float network's, or a question mark if it is unreliable."""
        return "?" if self.time_ratio is None else f"{self.time_ratio:.2f}x"


@dataclass(frozen=True)
class ConversionResult:
    """Result of a conversion.

    Args:
        name: The model's name.
        contract: Its input contract.
        dimension: Length of the embedding.
        source: Kind, file name, SHA-256 and tools of the source.
        agreement: Least cosine between embeddings of the float network and of the source in its own runtime.
        notes: Notes for the reader of the report.
        calibration: Number of images used and available, the digest of the used images, and the generator of drawn
            pictures.
        measured_on: Number of images on which fidelity was measured.
        held_out: True if calibration did not use the images on which fidelity was measured.
        artefacts: The artefacts; the first is the float network's.
        searches: ``SearchResult.to_json`` of each recipe search, by the recipe's name.
        targets: Report of each target.
        recoveries: ``DistillationResult.to_json`` of each distilled network, by its recipe's name.
        contract_check: Result of the check of the input contract; None if it was not checked.
        collapse: Comparison of embeddings of different images by the float network; None without images.
        replays: Comparison of each network that was replayed without images with the recorded one, by its recipe's name.
        calibration_check: Result of the check of the calibration images; None if they are drawn or recorded.
        refused: Targets that were refused.
        refused_files: Files of other targets that were refused.
        timing: How the times were measured, and why some are unreliable.
        differences: Difference of TAR to the float network on the labelled images of a search, by the recipe's name.
    """

    name: str
    contract: AnyContract
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
    contract_check: ContractCheck | None = None
    collapse: CollapseCheck | None = None
    replays: Mapping[str, ReplayCheck] = field(default_factory=dict)
    calibration_check: CalibrationCheck | None = None
    refused: tuple[RefusedTarget, ...] = ()
    refused_files: tuple[RefusedFile, ...] = ()
    timing: str = ""
    differences: Mapping[str, SmoothedDifference | Unsupported] = field(default_factory=dict)

    @property
    def missed(self) -> tuple[ArtefactResult, ...]:
        """Written files that miss the budget of the search."""
        return tuple(artefact for artefact in self.artefacts if not artefact.met)

    @property
    def passed(self) -> bool:
        """True if no target and no file was refused, and no written file misses its budget."""
        return not (self.refused or self.refused_files or self.missed)

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        out = {"schema": SCHEMA, "verdict": self.verdict(), **asdict(self)}
        out["contract"] = self.contract.to_json()
        return out

    def verdict(self) -> str:
        """Return the conclusion of ``judge`` as one line."""
        return self.judge().line()

    def judge(self) -> ReportVerdict:
        """Rate the quantized file that differs most from float; what is missing or misses its budget lowers the rating."""
        verdict = self._judge_files()
        problems = [
            *(f"{target.name} was refused and has no files" for target in self.refused),
            *(f"{refused.file} was refused and not written" for refused in self.refused_files),
            *(f"{artefact.file} misses its budget" for artefact in self.missed),
        ]
        if not problems:
            return verdict
        level = "bad" if verdict.level == "bad" else "caution"
        return ReportVerdict(level, "; ".join([verdict.sentence, *problems]), verdict.basis)

    def _judge_files(self) -> ReportVerdict:
        status = "" if self.contract_check is None else self.contract_check.status
        if status == "allowed":
            return ReportVerdict(
                "bad",
                "no cosine to float shows whether the files can be used, because the float model has the same contract",
                "the input contract was refused and allowed by the user",
            )
        verdict = self._judge_fidelity()
        if verdict.level == "good" and not all(replay.same_bytes for replay in self.replays.values()):
            verdict = ReportVerdict(
                "caution",
                "the replayed network has other bytes than the recorded one; measure its own thresholds before using it",
                verdict.basis,
            )
        doubts = [] if self.calibration_check is None else self.calibration_check.doubts()
        if doubts and verdict.level != "bad":
            doubt = f"{verdict.sentence}; the calibration images are in doubt ({', '.join(doubts)}), see the notes"
            verdict = ReportVerdict("caution", doubt, verdict.basis)
        if "drawn" in self.calibration and verdict.level != "bad":
            verdict = ReportVerdict(
                "caution",
                "calibrated without images and measured on drawn pictures; measure its error rates on photographs before using"
                " it",
                verdict.basis,
            )
        if status == "doubtful" and verdict.level != "bad":
            doubt = "; the input contract is in doubt, see the notes"
            return ReportVerdict("caution", f"{verdict.sentence}{doubt}", verdict.basis)
        return verdict

    def _judge_fidelity(self) -> ReportVerdict:
        """Return the most severe verdict on a quantized file."""
        if self.collapse is not None and self.collapse.allowed:
            sentence = "no file can tell subjects apart; the collapse was refused and allowed by the user"
            return ReportVerdict("bad", sentence, self.collapse.reason())
        judged = [artefact for artefact in self.artefacts if artefact.precision != "float32"]
        if not judged:
            return ReportVerdict("open", "there is no quantized file to judge", "")
        worse = [name for name, row in self.differences.items() if _is_worse(row)]
        if worse:
            basis = f"{worse[0]} on the labelled images of its search"
            return ReportVerdict(
                "bad", f"worse than float by more than {100 * DEFAULT_MARGIN:g} points of TAR", basis
            )
        ordered = sorted(judged, key=lambda a: -a.noise.relative if a.noise else a.cosine_mean - 1)
        return min(map(_judge, ordered), key=lambda verdict: _SEVERITY.index(verdict.level))

    def to_text(self) -> str:
        """Format the report for a terminal."""
        width = max(len(artefact.file) for artefact in self.artefacts)
        lines = [
            f"{self.name}: {self.source['kind']} {self.source['file']}, {self.contract.describe()},"
            f" {self.dimension} values",
            f"the float network agrees with its source: cosine {self.agreement:.6f} or more",
            *(f"note: {note}" for note in self.notes),
            *(f"{name} {replay.line()}" for name, replay in self.replays.items()),
            *self._search_lines(),
            *self._distillation_lines(),
            "",
            f"{'file':<{width}} {'size':>9} {'cosine to float':>17} {'time':>7}  {'XNNPACK':<12} gates",
        ]
        for artefact in self.artefacts:
            passed = sum(gate.passed for gate in artefact.gates)
            lines.append(
                f"{artefact.file:<{width}} {artefact.size_bytes / 1e6:>6.2f} MB"
                f" {artefact.cosine_mean:>8.4f} / {artefact.cosine_min:.4f}"
                f" {artefact.relative_time():>7}  "
                f"{artefact.partitions} partition{'s' if artefact.partitions != 1 else ' '}"
                f" {passed} of {len(artefact.gates)}"
            )
        lines += ["", f"cosine: mean / least, {self.describe_basis()}; time: {self.timing}"]
        lines += [
            f"scores of {artefact.file}: {describe_noise(artefact.noise)}"
            for artefact in self.artefacts
            if artefact.noise is not None and artefact.precision in ("int8", "dynamic")
        ]
        for name, row in self.differences.items():
            verdict = None if isinstance(row, Unsupported) else margin.judge(row)
            lines += [
                f"{name}, on the images that chose the recipe: {line}" for line in pooled_lines(row, verdict)
            ]
        for section in self.targets:
            lines += ["", *section.lines()]
        for target in self.refused:
            lines += ["", target.line()]
        for refused in self.refused_files:
            lines += ["", f"{refused.file} was not written: {refused.error}"]
        for artefact in self.missed:
            lines += ["", f"{artefact.file} was written, but misses its budget: {artefact.goal}"]
        return "\n".join([*lines, "", f"verdict: {self.verdict()}"])

    def describe_basis(self) -> str:
        """Return the images of the cosines as text."""
        if not self.replays and "drawn" in self.calibration:
            return f"on {self.measured_on} drawn pictures, not on photographs"
        if not self.replays:
            if not self.held_out:
                return f"on the {self.measured_on} calibration images themselves"
            further = f"about 1 in {self.measured_on + 1} further images is worse than the least"
            return f"on {self.measured_on} images that calibration has not seen; {further}"
        recorded = [artefact for artefact in self.artefacts if artefact.basis == "recorded"]
        others = f"on {self.measured_on} generated inputs"
        if not recorded:
            return others
        return (
            f"of {', '.join(artefact.file for artefact in recorded)} as measured at recording on"
            f" {recorded[0].measured_on} images, of the other files {others}"
        )

    def _search_lines(self) -> list[str]:
        lines = []
        for name, search in self.searches.items():
            goal = "reached" if search["met"] else "missed; the best recipe is written"
            users = [artefact.recipe for artefact in self.artefacts if artefact.search == name]
            names = ", ".join(users or [name])
            lines += ["", f"{names}: searched for {search['budget']['goal']}: {goal}"]
            lines += [
                f"  {trial['cosine_mean']:.4f} / {trial['cosine_min']:.4f}  {'+' if trial['kept'] else ' '}"
                f" {trial['what']}{_effect(trial)}{_measurement(search, trial)}"
                for trial in search["trials"]
            ]
            lines += [f"  changes nothing    {what}" for what in search.get("unchanged", ())]
        return lines

    def _distillation_lines(self) -> list[str]:
        return [
            line
            for name, training in self.recoveries.items()
            for line in (
                "",
                f"{name}: distilled in {training['steps']} steps on {training['images']} images; the cosine on the"
                f" selection images rose from {training['before']:.4f} to {training['after']:.4f}"
                + (f", with {training['leaky']} PReLUs as LeakyReLU" if training["leaky"] else "")
                + (f"; note: {training['note']}" if training["note"] else ""),
            )
        ]


def _effect(trial: Mapping[str, Any]) -> str:
    return f" ({trial['effect']})" if trial.get("effect") else ""


def _measurement(search: Mapping[str, Any], trial: Mapping[str, Any]) -> str:
    """Return the budget's measurement as text; empty if it is only the cosine, which the line already contains."""
    shown = search["budget"]["kind"] != "cosine" or "max_time_ratio" in search["budget"]
    return f": {trial['found']}" if shown else ""


def describe_noise(noise: ScoreNoise) -> str:
    """Return the noise of scores as text."""
    tail = "" if noise.tail_shift is None else f", their highest 0.1 % by {noise.tail_shift:+.4f}"
    return (
        f"noise {noise.sd:.4f}, {100 * noise.relative:.0f} % of the spread {noise.spread:.4f} between different images;"
        f" mean moved by {noise.mean_shift:+.4f}{tail}"
    )


def _is_worse(row: SmoothedDifference | Unsupported) -> bool:
    return isinstance(row, SmoothedDifference) and margin.judge(row).verdict == "worse"


def _judge(artefact: ArtefactResult) -> ReportVerdict:
    """Rate one file by the upper limit of the noise of its scores, relative to the spread between different images."""
    noise, cosines = (
        artefact.noise,
        f"{artefact.cosine_mean:.4f} (minimum {artefact.cosine_min:.4f}) to float",
    )
    if noise is None:
        levels = artefact.cosine_mean < _CLOSE_COSINE, artefact.cosine_mean < _FAR_COSINE
        level = ("good", "caution", "bad")[sum(levels)]
        return ReportVerdict(level, _SENTENCES[level], f"{artefact.file} has a mean cosine of {cosines}")
    basis = (
        f"{artefact.file} changes scores by {100 * noise.relative:.0f} % of the spread between different images, with a"
        f" mean cosine of {cosines}"
    )
    limit = noise.relative_limit
    if noise.relative > _FAR:
        return ReportVerdict("bad", _SENTENCES["bad"], basis)
    if not artefact.held_out or limit is None or noise.images < _LEAST_IMAGES:
        images = "the calibration images themselves" if not artefact.held_out else f"{noise.images} images"
        sentence = (
            f"{images} cannot tell if it is close to the float model; give"
            f" {IMAGES_TO_TELL} or more calibration images"
        )
        return ReportVerdict("open", sentence, basis)
    level = "good" if limit <= _CLOSE else "caution"
    return ReportVerdict(level, _SENTENCES[level], basis)
