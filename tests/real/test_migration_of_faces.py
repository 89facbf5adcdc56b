"""A gallery of real faces changes from MobileFaceNet y1 to SFace by stored captures, and back; a map between both is refused."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from converters.data.samples import decode, open_samples
from converters.evaluate.metrics import OperatingPointEvidence, operating_points
from converters.evaluate.runner.embedding_run import embed_with
from converters.evaluate.runner.open_artefact import OpenedArtefact, open_artefact
from converters.evaluate.runner.space_map import make_space_map
from converters.pipeline.convert import convert
from converters.pipeline.options import ConversionOptions
from edge_sdk.errors import InputError, ModelMismatchError
from edge_sdk.gallery import DecisionPolicy, FileAnchor, Gallery, InMemoryKey
from edge_sdk.gallery.captures.crops import Crops
from edge_sdk.gallery.captures.keys import CapturesKey
from edge_sdk.model.card import InputContract
from edge_sdk.model.operating_point import OperatingPoint
from edge_sdk.types import UInt8Array
from edge_sdk.vision.embedder import Embedder

pytestmark = [pytest.mark.real, pytest.mark.slow]

ALIGNED = InputContract.from_json(
    {"size": [112, 112], "color": "rgb", "range": [0, 255], "alignment": "arcface"}
)
KEY, CAPTURES_KEY = InMemoryKey(b"m" * 32), CapturesKey(b"c" * 32)
PEOPLE, CAPTURES = 25, 3


@pytest.fixture(scope="module")
def y1(shared: Path) -> OpenedArtefact:
    return open_artefact(shared / "zoo" / "mobilefacenet_y1_float32.tflite", contract=ALIGNED)


@pytest.fixture(scope="module")
def sface(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> OpenedArtefact:
    folder = tmp_path_factory.mktemp("sface")
    calibration = shared / "faces" / "lfw_calibration_aligned112.tar"
    convert(
        ConversionOptions(
            shared / "zoo" / "sface_2021dec_int8bq.onnx", ALIGNED, calibration, folder, name="sface"
        )
    )
    return open_artefact(folder / "sface.float32.tflite")


def with_evidence(artefact: OpenedArtefact, shared: Path) -> Embedder:
    """Open an embedder whose card has operating points, measured on people who are not in DevTest."""
    others = embed_with(artefact, open_samples(shared / "faces" / "lfw_calibration_aligned112.tar"))
    comparisons = others.all_pairs()
    rows = operating_points(
        comparisons,
        comparisons.scores(),
        data_set=others.data_set,
        data_digest=others.data_digest,
        fmrs=(1e-2, 1e-3, 1e-4),
    )
    points = tuple(
        OperatingPoint(row.threshold, row.target_fmr, 0.0, 0, row.non_mated_trials)
        for row in rows
        if isinstance(row, OperatingPointEvidence)
    )
    card = replace(artefact.card, operating_points=points)
    return replace(artefact, card=card).embedder()


@pytest.fixture(scope="module")
def people(shared: Path) -> dict[str, list[UInt8Array]]:
    """People with at least four images in DevTest."""
    samples = open_samples(shared / "faces" / "lfw_devtest_aligned112.tar")
    images = defaultdict(list)
    for sample in samples.samples:
        images[sample.subject].append(sample)
    chosen = [name for name in sorted(images) if len(images[name]) > CAPTURES][:PEOPLE]
    return {
        name: [decode(samples.read(sample), sample.name) for sample in images[name][: CAPTURES + 2]]
        for name in chosen
    }


def accepted(gallery: Gallery, embedder: Embedder, people: dict[str, list[UInt8Array]]) -> tuple[float, int]:
    """Return the share of probes that are accepted as their own subject, and the number accepted as another one."""
    answers = [
        (name, gallery.identify(embedder.embed(face)))
        for name, faces in people.items()
        for face in faces[CAPTURES:]
    ]
    own = [answer.accepted and answer.subject == name for name, answer in answers]
    return float(np.mean(own)), sum(answer.accepted and answer.subject != name for name, answer in answers)


def test_a_gallery_of_faces_changes_its_model_and_returns(
    shared: Path,
    tmp_path: Path,
    y1: OpenedArtefact,
    sface: OpenedArtefact,
    people: dict[str, list[UInt8Array]],
) -> None:
    old, new = with_evidence(y1, shared), with_evidence(sface, shared)
    anchor = FileAnchor(tmp_path / "anchor")
    path = tmp_path / "door.gallery"
    gallery = Gallery.create(path, key=KEY, model_id=old.model_id, dimension=old.dimension, anchor=anchor)
    with gallery.transaction() as transaction:
        transaction.set_policy(DecisionPolicy(old.card.operating_points, fpir=0.02))
    gallery.captures.switch_on(CAPTURES_KEY.public)
    for name, faces in people.items():
        chosen = faces[:CAPTURES]
        captures = Crops.received(chosen, old.card.input, consent="test")
        gallery.enrol(name, np.stack([old.embed(face) for face in chosen]), captures=captures)
    before, wrong = accepted(gallery, old, people)
    assert before > 0.9
    assert wrong == 0
    door = Gallery.open(path, key=KEY, model_id=old.model_id, anchor=anchor)
    # Among 75 templates one pair of different people may reach a threshold for FPIR 2 %.
    result = gallery.migration.with_captures(new, CAPTURES_KEY, allow_duplicates=True)
    assert (result.subjects, result.templates) == (len(people), CAPTURES * len(people))
    with pytest.raises(ModelMismatchError):
        door.identify(old.embed(next(iter(people.values()))[0]))
    after, wrong = accepted(gallery, new, people)
    assert after > 0.9
    assert wrong == 0
    # The templates are those of a new enrolment with the same crops.
    again = Gallery.create(
        tmp_path / "again.gallery", key=KEY, model_id=new.model_id, dimension=new.dimension
    )
    for name, faces in people.items():
        again.enrol(name, np.stack([new.embed(face) for face in faces[:CAPTURES]]))
    for name, faces in people.items():
        probe = new.embed(faces[CAPTURES])
        scores = []
        for opened in (gallery, again):
            rows = opened.references().matrix.astype(np.float64)
            scores.append(rows @ opened.transform_probe(probe) / np.linalg.norm(rows, axis=1))
        assert np.allclose(scores[0], scores[1], atol=0.02), name
    gallery.migration.undo()
    assert accepted(gallery, old, people) == (before, 0)
    assert gallery.problems() == ()


def test_a_map_between_both_networks_loses_too_much_and_is_refused(
    shared: Path, y1: OpenedArtefact, sface: OpenedArtefact
) -> None:
    faces = shared / "faces"
    space_map = make_space_map(
        y1,
        sface,
        calibration=faces / "lfw_calibration_aligned112.tar",
        images=faces / "lfw_devtest_aligned112.tar",
    )
    evidence = space_map.evidence
    assert evidence.native_fnmr == pytest.approx(0.027, abs=0.004)
    assert evidence.loss == pytest.approx(0.067, abs=0.015)
    assert evidence.loss_interval[0] > 0.01
    with pytest.raises(InputError, match="the map loses"):
        space_map.require_usable()
