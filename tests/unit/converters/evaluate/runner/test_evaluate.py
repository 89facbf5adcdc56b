"""Evaluation of an artefact: its figures, and the claims that it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters.data.samples import open_samples
from converters.evaluate.metrics import OperatingPointEvidence, Unsupported, split_open_set
from converters.evaluate.runner.comparison_lists import read_pairs
from converters.evaluate.runner.embedding_run import embed_with
from converters.evaluate.runner.evaluate import Evaluation, Protocol, evaluate, identify, notes_of, verify
from converters.evaluate.runner.image_sources import ImageSources
from converters.evaluate.runner.open_artefact import OpenedArtefact, open_artefact
from edge_sdk.errors import InputError
from edge_sdk.matching import scores
from tests.labelled_images import contents, photo, png, write


@pytest.fixture(scope="module")
def artefact(model_path: Path) -> OpenedArtefact:
    return open_artefact(model_path)


@pytest.fixture(scope="module")
def evaluation(artefact: OpenedArtefact, tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    folder = write(tmp_path_factory.mktemp("people"), contents(30, 4, noise=80))
    return evaluate(artefact, open_samples(folder, name="drawn"), Protocol(replicates=200))


def test_error_rates_match_the_embedder_of_the_device(
    artefact: OpenedArtefact, evaluation: Evaluation
) -> None:
    """Count the errors independently, with an embedder, a threshold and two loops."""
    point = evaluation.verification.points[1]
    assert isinstance(point, OperatingPointEvidence)
    assert point.target_fmr == 1e-3
    embedder = artefact.embedder()
    vectors = np.stack([embedder.embed(photo(s, k, noise=80)) for s in range(30) for k in range(1, 5)])
    subject = np.repeat(np.arange(30), 4)
    accepted = np.stack([scores(vector, vectors) for vector in vectors]) >= point.threshold
    upper = np.triu(np.ones_like(accepted), 1)
    same = subject[:, None] == subject[None, :]
    # The dot products here are float32, those of the evaluation exact: a score at the threshold may differ.
    assert abs(int((accepted & upper & ~same).sum()) - point.false_matches) <= 1
    assert abs(int((~accepted & upper & same).sum()) - point.false_non_matches) <= 1
    assert (point.mated_trials, point.non_mated_trials) == (180, 6960)


def test_unsupported_claims_are_reported(evaluation: Evaluation) -> None:
    absent = [row for row in evaluation.verification.points if isinstance(row, Unsupported)]
    assert [row.needed for row in absent] == [246, 776, 2450]
    text = evaluation.to_text()
    assert "no claim: FMR 0.0001 needs at least 246 subjects, found 30" in text
    assert "no claim: FMR 0.001 needs at least 78 subjects, found 30" in text
    assert "failures to acquire: 0 of 120 images" in text
    assert "180 mated and 6,960 non-mated comparisons" in text


def test_json_is_complete_and_contains_no_path(evaluation: Evaluation) -> None:
    text = json.dumps(evaluation.to_json(), allow_nan=False)
    assert "/tmp" not in text
    assert evaluation.to_json()["verification"]["points"][0]["fnmr_interval"]["confidence"] == 0.95
    assert evaluation.artefact.sha256 in text


def test_probability_is_calibrated(evaluation: Evaluation) -> None:
    assert evaluation.probability is not None
    platt = evaluation.probability.platt
    assert platt.slope > 0
    chances = platt.probability(np.array([-0.2, 1.0]), prior=0.5)
    assert chances[0] < 0.1 < 0.9 < chances[1]
    assert sum(row.count for row in evaluation.probability.bins) == 180 + 6960


def test_failures_to_acquire_are_counted(artefact: OpenedArtefact, tmp_path: Path) -> None:
    folder = write(
        tmp_path, {**contents(4, 2), "s00/broken.png": b"no image", "s01/cut.png": png(photo(1, 1))[:99]}
    )
    evaluation = evaluate(artefact, open_samples(folder), Protocol(replicates=0))
    assert evaluation.verification.acquisition.failures == 2
    assert "failures to acquire: 2 of 10 images\n  s00/broken.png: cannot be decoded" in evaluation.to_text()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (contents(1, 4), "two or more subjects in people, found 4 images of one, s00"),
        (contents(4, 1), "two or more images of a subject in people, found one image each of 4 subjects"),
        ({"a/x.png": b"no", "b/y.png": b"no"}, "found 2 failures to acquire"),
    ],
)
def test_comparisons_of_one_kind_are_refused(
    artefact: OpenedArtefact, tmp_path: Path, files: dict[str, bytes], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        evaluate(artefact, open_samples(write(tmp_path / "people", files)))


def pairs_file(path: Path, mated: list[str], non_mated: list[str]) -> Path:
    path.write_text("\n".join([str(len(mated)), *mated, *non_mated]) + "\n")
    return path


def test_a_pairs_file_selects_the_comparisons(artefact: OpenedArtefact, tmp_path: Path) -> None:
    folder = write(tmp_path / "people", contents(3, 3))
    mated, non_mated = ["s00\t1\t2", "s01\t1\t3"], ["s00\t1\ts01\t1", "s01\t2\ts02\t9"]
    pairs = read_pairs(pairs_file(tmp_path / "pairs.txt", mated, non_mated))
    evaluation = evaluate(artefact, open_samples(folder), Protocol(pairs=pairs, replicates=0))
    verification = evaluation.verification
    assert (verification.mated_trials, verification.non_mated_trials) == (2, 1)
    assert verification.comparisons_lost.failures == 1
    assert "comparisons lost: 1 of 4 listed\n  s02/s02_0009: not among the images" in evaluation.to_text()
    assert isinstance(verification.accuracy, tuple)


def test_a_pairs_file_whose_images_are_missing_is_refused(artefact: OpenedArtefact, tmp_path: Path) -> None:
    samples = open_samples(write(tmp_path / "people", contents(3, 3)))
    absent = read_pairs(pairs_file(tmp_path / "a.txt", ["x\t1\t2"], ["x\t1\ty\t1"]))
    with pytest.raises(InputError, match="found none of its 2 comparisons"):
        evaluate(artefact, samples, Protocol(pairs=absent))
    half = read_pairs(pairs_file(tmp_path / "h.txt", ["s00\t1\t2"], ["s00\t1\ty\t1"]))
    with pytest.raises(InputError, match=r"both kinds in h.txt, found 1 that can be made, all mated, and 1"):
        evaluate(artefact, samples, Protocol(pairs=half))


def test_open_set_search_by_a_rule(artefact: OpenedArtefact, tmp_path: Path) -> None:
    samples = open_samples(write(tmp_path, contents(20, 4, noise=30)))
    listed = split_open_set(
        [s.name for s in samples.samples], [s.subject for s in samples.samples], enrolled_share=0.5
    )
    protocol = Protocol(open_set=listed, open_set_name="half", fpirs=(0.1, 0.01), replicates=0)
    identification = evaluate(artefact, samples, protocol).identification
    assert identification is not None
    assert (identification.references, identification.mated_probes) == (10, 30)
    assert identification.non_mated_probes == 40
    measured, absent = identification.points
    assert not isinstance(measured, Unsupported)
    assert measured.fpir <= 0.1
    assert measured.claim.reason == "FPIR 0.1 needs at least 30 strangers, found 10"
    assert isinstance(absent, Unsupported)
    assert absent.needed == 300
    assert (identification.strangers, absent.found) == (10, 10)
    assert not isinstance(identification.ranks, Unsupported)
    first = identification.ranks[0]
    assert first.rank == 1
    assert first.share == 1
    assert first.interval.low == pytest.approx(0.05 ** (1 / 10))  # 10 subjects without a miss
    assert identification.fmr_needed[0][1] == pytest.approx(1 - 0.9 ** (1 / 10))


def test_folders_to_enrol_and_to_probe(artefact: OpenedArtefact, tmp_path: Path) -> None:
    enrol = write(tmp_path / "enrol", {f"s{k:02d}.png": png(photo(k, 0)) for k in range(5)})
    probes = write(tmp_path / "probes", contents(5, 2))
    strangers = write(
        tmp_path / "strangers",
        {name.replace("s0", "x0"): png(photo(90 + i, 1)) for i, name in enumerate(contents(3, 2))},
    )
    data = ImageSources(enrol=enrol, probes=(probes, strangers)).read()
    assert data.samples.data_set == "enrol+probes+strangers"
    protocol = Protocol(open_set=data.open_set, open_set_name=data.open_set_name, replicates=0)
    evaluation = evaluate(artefact, data.samples, protocol)
    assert evaluation.identification is not None
    assert (evaluation.identification.references, evaluation.identification.mated_probes) == (5, 10)
    assert evaluation.identification.non_mated_probes == 6
    assert evaluation.verification.mated_trials > 0


@pytest.mark.parametrize(
    "options",
    [{"fmrs": (2.0,)}, {"fpirs": (0.0,)}, {"rank": 0}, {"errors": -1}, {"replicates": -1}],
)
def test_a_protocol_outside_its_ranges_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="expected"):
        Protocol(**options)


def test_identification_needs_an_open_set_list(artefact: OpenedArtefact, tmp_path: Path) -> None:
    embedded = embed_with(artefact, open_samples(write(tmp_path, contents(3, 2))))
    with pytest.raises(InputError, match="1:N evaluation needs a list of enrolled subjects and probes"):
        identify(embedded, Protocol())
    with pytest.raises(InputError, match="two or more images of a subject"):
        verify(embedded.rows([0, 2, 4]), Protocol())


def test_a_questioned_input_contract_is_repeated_in_the_notes(
    artefact: OpenedArtefact, tmp_path: Path
) -> None:
    samples = open_samples(write(tmp_path / "people", contents(2, 2)))
    assert notes_of(samples, artefact.card) == ()
    questioned = replace(
        artefact.card, source={"input_contract": {"status": "allowed", "reason": "all images look alike"}}
    )
    (note,) = notes_of(samples, questioned)
    assert note == "the conversion questioned the input contract: all images look alike"
