"""Small sample values for the tests of reports; computed by the real code if that is fast."""

from __future__ import annotations

from typing import Any

import numpy as np

from converters.analyze.gates import Gate
from converters.analyze.layer_errors import LayerErrors, TensorError
from converters.analyze.occlusion import Attention, OcclusionMap
from converters.evaluate.metrics import (
    EmbeddedSamples,
    Unsupported,
    compare_artefacts,
    judge,
    measure_probability,
    paired_differences,
    pooled_difference,
    smoothed_differences,
    split_open_set,
    verify_all_pairs,
)
from converters.evaluate.metrics.covariates import Covariates
from converters.evaluate.metrics.group_changes import group_changes
from converters.evaluate.metrics.group_evidence import GroupsEvidence
from converters.evaluate.metrics.groups import measure_groups
from converters.evaluate.runner.comparison_result import CandidateComparison, ComparisonResult, NamedFlip
from converters.evaluate.runner.error_analysis import CauseCeiling, ErrorAnalysis, WrongDecision
from converters.evaluate.runner.evaluate import Evaluation
from converters.evaluate.runner.identification import identification_of
from converters.evaluate.runner.identity import ArtefactIdentity
from converters.results import ArtefactResult, ConversionResult
from edge_sdk.model.card import InputContract

HOSTILE = (
    "<script>alert(1)</script>\"'><img src=http://evil.example/x onerror=alert(2)>$\\frac{</style>&amp;]]>"
)
FMRS = (1e-1, 1e-2, 1e-3, 1e-6)


def artefact(
    recipe: str, precision: str, cosine: float, *, name: str = "door", failed: bool = False
) -> ArtefactResult:
    gates = (
        Gate("static", "every tensor has a static shape", "static", True),
        Gate("finite", "a finite embedding for every image", "NaN" if failed else "finite", not failed),
    )
    return ArtefactResult(
        file=f"{name}.{recipe}.tflite",
        recipe=recipe,
        precision=precision,
        size_bytes={"float32": 4_007_384, "int8": 1_327_015}[precision],
        operators={"CONV_2D": 32, "PRELU": 33},
        partitions=1,
        gates=gates,
        cosine_mean=cosine,
        cosine_min=cosine - 0.1,
        worst_image=f"{name}/0001.jpg",
        latency_ms={"float32": 6.0, "int8": 3.0}[precision],
        processor_ms={"float32": 6.0, "int8": 3.0}[precision],
        time_ratio={"float32": 1.0, "int8": 0.5}[precision],
    )


def report(*, cosine: float = 0.8684, name: str = "door", **changes: Any) -> ConversionResult:
    values: dict[str, Any] = {
        "name": name,
        "contract": InputContract(112, 112, "rgb", (127.5,) * 3, (128.0,) * 3),
        "dimension": 128,
        "source": {"kind": "onnx", "file": f"{name}.onnx", "sha256": "ab" * 32},
        "agreement": 0.999999,
        "notes": (f"a note on {name}",),
        "calibration": {"images": 200, "available": 500, "sha256": "cd" * 32},
        "timing": "processor time of one thread on this computer",
        "measured_on": 100,
        "held_out": True,
        "artefacts": (
            artefact("float32", "float32", 1.0, name=name),
            artefact("cpu_int8", "int8", cosine, name=name),
        ),
    }
    return ConversionResult(**{**values, **changes})


def embedded(*, noise: float, name: str = "door", subjects: int = 40, each: int = 4) -> EmbeddedSamples:
    """Draw subjects around random directions; more noise imitates a worse network on the same images."""
    random = np.random.default_rng(7)
    centres = np.repeat(random.normal(size=(subjects, 16)), each, axis=0)
    spread, error = random.normal(size=(2, *centres.shape))
    vectors = centres + 0.5 * spread + noise * error
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    owners = [f"{name}{row // each:03}" for row in range(len(vectors))]
    names = [f"{owner}/{row:04}.jpg" for row, owner in enumerate(owners)]
    return EmbeddedSamples("drawn", "ef" * 32, tuple(names), tuple(owners), vectors.astype(np.float32))


def identity(recipe: str, precision: str, *, name: str = "door") -> ArtefactIdentity:
    return ArtefactIdentity(
        f"{name}.{recipe}.tflite",
        "12" * 32,
        name,
        precision,
        "cpu",
        16,
        "112x112 rgb",
        True,
        "ai-edge-litert 2.3.0",
        "xnnpack",
    )


def evaluation(
    recipe: str = "cpu_int8", precision: str = "int8", *, noise: float = 0.4, name: str = "door"
) -> Evaluation:
    samples = embedded(noise=noise, name=name)
    listed = split_open_set(samples.names, samples.subjects, references=1)
    protocol = f"first image of each subject enrolled, {name}"
    identification = identification_of(samples, listed, name=protocol, fpirs=(0.3, 0.1, 0.01))
    wrong = WrongDecision(f"{name}001/0004.jpg", f"{name}001/0005.jpg", True, 0.31, (f"blurred: {name}",), ())
    errors = ErrorAnalysis(
        1e-3, 0.5, 12, 3, (), (wrong,), (CauseCeiling("blurred", 12.0, 8, 0.05, 0.95, None, 2),)
    )
    return Evaluation(
        artefact=identity(recipe, precision, name=name),
        verification=verify_all_pairs(samples, fmrs=FMRS, replicates=50),
        identification=identification,
        probability=measure_probability(samples.all_pairs(), data_set="drawn", data_digest="ef" * 32),
        errors=errors,
        notes=(f"a note on {name}",),
        groups=groups(samples, name),
    )


def covariates(drawn: EmbeddedSamples, name: str) -> Covariates:
    """Put every second subject into the second of two groups."""
    subjects = sorted(set(drawn.subjects))
    rows = {subject: (f"{name} {place % 2}",) for place, subject in enumerate(subjects)}
    return Covariates(f"{name}.csv", "ef" * 32, False, (f"camera of {name}",), rows)


def groups(drawn: EmbeddedSamples, name: str) -> GroupsEvidence:
    thresholds = [(1e-1, 0.3), (1e-2, 0.5)]
    return measure_groups(
        drawn.all_pairs(), covariates(drawn, name), drawn.names, drawn.subjects, thresholds=thresholds
    )


def comparison(
    *,
    noise: float = 0.4,
    name: str = "door",
    replicates: int = 50,
    subjects: int = 40,
    each: int = 4,
    margin: float = 0.01,
) -> ComparisonResult:
    baseline, candidate = (
        embedded(noise=level, name=name, subjects=subjects, each=each) for level in (0.0, noise)
    )
    pairs = baseline.all_pairs(), candidate.all_pairs()
    fidelity = compare_artefacts(*pairs, names=baseline.names, fmrs=FMRS)
    pooled = pooled_difference(*pairs)
    flip = NamedFlip(f"{name}000/0000.jpg", f"{name}001/0004.jpg", False, 0.31, 0.62, True)
    return ComparisonResult(
        baseline=identity("float32", "float32", name=name),
        verification=verify_all_pairs(baseline, fmrs=FMRS, replicates=replicates),
        candidates=(
            CandidateComparison(
                artefact=identity("cpu_int8", "int8", name=name),
                cosine_mean=fidelity.cosine_mean,
                cosine_min=fidelity.cosine_min,
                worst=fidelity.worst[:3],
                verification=verify_all_pairs(candidate, fmrs=FMRS, replicates=replicates),
                fidelity=fidelity,
                differences=paired_differences(*pairs, fmrs=FMRS, replicates=200),
                flips=(flip,),
                flips_fmr=1e-3,
                pooled=pooled,
                verdict=None if isinstance(pooled, Unsupported) else judge(pooled, margin=margin),
                smoothed=smoothed_differences(*pairs, fmrs=FMRS),
                group_changes=group_changes(
                    *pairs,
                    covariates(baseline, name),
                    baseline.names,
                    baseline.subjects,
                    thresholds=[(1e-2, 0.5, 0.5)],
                ),
            ),
        ),
        data_set="drawn",
        images=len(baseline.names),
        images_sha256="ef" * 32,
        notes=(f"compared on {name}",),
        groups=groups(baseline, name),
    )


def layers(*, name: str = "conv") -> LayerErrors:
    """Create the errors of a network in which the third tensor causes a loss that appears in the fourth."""
    rows = (
        ("CONV_2D", 30.0, 31.0, 90.0),
        ("PRELU", 28.0, 30.0, 80.0),
        ("CONV_2D", 18.0, 17.0, 6.0),
        ("DEPTHWISE_CONV_2D", 5.0, 36.0, 60.0),
        ("FULLY_CONNECTED", 5.5, None, None),
    )
    tensors = tuple(
        TensorError(place, operator, f"{name}{place}", (1, 7, 7, 512), sqnr, rounding, 0.9, steps)
        for place, (operator, sqnr, rounding, steps) in enumerate(rows)
    )
    return LayerErrors("float32", "cpu_int8", 16, tensors, 1)


def pixels(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (112, 112, 3), dtype=np.uint8)


def attention(*, name: str = "door") -> Attention:
    random = np.random.default_rng(3)
    maps = tuple(
        (label, OcclusionMap(random.uniform(0, 0.5, (14, 14)).astype(np.float32), 24, 8))
        for label in ("float", "int8")
    )
    return Attention(f"{name}/0001.jpg", pixels(), maps)


def everything(*, name: str = "door") -> dict[str, Any]:
    """Return the arguments of a page with every section."""
    return {
        "title": name,
        "conversion": report(name=name),
        "evaluations": (evaluation("float32", "float32", noise=0.0, name=name), evaluation(name=name)),
        "comparison": comparison(name=name),
        "layers": layers(name=name),
        "attention": (attention(name=name),),
    }
