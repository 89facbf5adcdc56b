"""Decisions of a gallery on real faces reproduce the claims of docs/explanation/decisions-at-the-door.md.

The thresholds come from the calibration crops, which show other people than the enrolled subjects and probes.
"""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from converters.data.samples import open_samples
from converters.evaluate.metrics import OperatingPointEvidence, operating_points
from converters.evaluate.metrics.embedded_samples import EmbeddedSamples
from converters.evaluate.runner.embedding_run import embed_with
from converters.evaluate.runner.open_artefact import open_artefact
from edge_sdk.errors import CaptureError, SubjectExistsError
from edge_sdk.gallery import Decision, DecisionPolicy, Gallery, InMemoryKey
from edge_sdk.model.card import InputContract
from edge_sdk.model.operating_point import OperatingPoint
from tests.simulated_file_system import SimulatedFileSystem

pytestmark = [pytest.mark.real, pytest.mark.slow]

AS_PIXELS = InputContract.from_json({"size": [112, 112], "color": "rgb", "range": [0, 255]})


@pytest.fixture(scope="module")
def sets(shared: Path) -> tuple[EmbeddedSamples, EmbeddedSamples]:
    """Embed DevTest and the calibration crops with MobileFaceNet y1."""
    artefact = open_artefact(shared / "zoo" / "mobilefacenet_y1_float32.tflite", contract=AS_PIXELS)
    names = ("lfw_devtest_aligned112", "lfw_calibration_aligned112")
    faces, others = (embed_with(artefact, open_samples(shared / "faces" / f"{name}.tar")) for name in names)
    return faces, others


@pytest.fixture(scope="module")
def policy(sets: tuple[EmbeddedSamples, EmbeddedSamples]) -> DecisionPolicy:
    comparisons = sets[1].all_pairs()
    rows = operating_points(
        comparisons,
        comparisons.scores(),
        data_set=sets[1].data_set,
        data_digest=sets[1].data_digest,
        fmrs=(1e-2, 1e-3, 1e-4, 6e-5),
    )
    points = []
    for row in rows:
        assert isinstance(row, OperatingPointEvidence)
        assert row.claim
        points.append(OperatingPoint(row.threshold, row.target_fmr, 0.0, 0, row.non_mated_trials))
    return DecisionPolicy(tuple(points), fpir=0.01)


@pytest.fixture(scope="module")
def people(sets: tuple[EmbeddedSamples, EmbeddedSamples]) -> dict[str, np.ndarray]:
    rows = defaultdict(list)
    for row, subject in enumerate(sets[0].subjects):
        rows[subject].append(row)
    return {subject: sets[0].vectors[own] for subject, own in rows.items()}


def door(policy: DecisionPolicy, dimension: int) -> Gallery:
    gallery = Gallery.create(
        Path("door.gallery"),
        key=InMemoryKey(b"z" * 32),
        model_id=bytes(32),
        dimension=dimension,
        filesystem=SimulatedFileSystem(),
    )
    with gallery.transaction() as t:
        t.set_policy(policy)
    return gallery


def measure(policy: DecisionPolicy, people: dict[str, np.ndarray], templates: int) -> dict[str, float]:
    """Enrol 50 subjects with enough images; probe with their other images and with all subjects without."""
    dimension = next(iter(people.values())).shape[1]
    gallery = door(policy, dimension)
    refused = 0
    enrolled = []
    with gallery.transaction() as t:
        for name, own in people.items():
            if len(own) > templates and len(enrolled) < 50:
                try:
                    t.enrol(name, own[:templates])
                    enrolled.append(name)
                except (CaptureError, SubjectExistsError):
                    refused += 1
    mated = [(name, probe) for name in enrolled for probe in people[name][templates:]]
    strangers = [probe for own in people.values() if len(own) <= templates for probe in own]
    answers = [(name, gallery.identify(probe)) for name, probe in mated]
    alarms = [gallery.identify(probe).decision for probe in strangers]
    return {
        "fnir": 1 - np.mean([answer.subject == name for name, answer in answers]),
        "wrong": np.mean([answer.subject not in (None, name) for name, answer in answers]),
        "fpir": alarms.count(Decision.ACCEPTED) / len(alarms),
        "retried strangers": alarms.count(Decision.RETRY) / len(alarms),
        "refused": refused / (refused + len(enrolled)),
    }


def test_strangers_stay_outside_and_more_templates_pay(
    policy: DecisionPolicy, people: dict[str, np.ndarray]
) -> None:
    with_one, with_three = measure(policy, people, 1), measure(policy, people, 3)
    for rates in (with_one, with_three):
        assert (
            rates["fpir"] < 0.015
        )  # the claims keep 0.01 in the mean of galleries; a single one may have more
        assert rates["wrong"] < 0.01
        assert rates["retried strangers"] < 0.03
        assert rates["refused"] < 0.04
    assert with_one["fnir"] < 0.12
    assert with_three["fnir"] < with_one["fnir"] / 2


def test_a_second_name_for_the_same_face_and_a_foreign_capture_are_refused(
    policy: DecisionPolicy, people: dict[str, np.ndarray]
) -> None:
    chosen = {name: own for name, own in people.items() if len(own) >= 5}
    alone = [own[0] for own in people.values() if len(own) == 1]
    gallery = door(policy, len(alone[0]))
    for name, own in chosen.items():
        gallery.enrol(name, own[:3])
    twins = foreign = named = 0
    for place, (name, own) in enumerate(chosen.items()):
        try:
            gallery.enrol("somebody new", own[3:5])
            gallery.remove("somebody new")
        except SubjectExistsError as error:
            twins += f"{name!r}, who is enrolled" in str(error)
        except CaptureError:
            pass
        mixed = np.stack([own[0], alone[place], own[1]])
        try:
            gallery.enrol("somebody new", mixed, allow_duplicate=True)
            gallery.remove("somebody new")
        except CaptureError as error:
            foreign += 1
            named += error.capture == 1
    assert len(chosen) > 20
    assert twins >= math.floor(0.95 * len(chosen))
    assert foreign >= math.floor(0.9 * len(chosen))
    assert named == foreign
