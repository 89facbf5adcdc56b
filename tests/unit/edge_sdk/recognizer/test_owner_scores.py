"""Scores for the owner are few, rounded and recorded; without an audit log there are none."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from edge_sdk.errors import AcquisitionError, GalleryError, InputError
from edge_sdk.gallery import Gallery, InMemoryKey
from edge_sdk.recognizer import Recognizer
from edge_sdk.recognizer.owner_scores import MOST_PROBES, owner_scores
from tests.unit.edge_sdk.recognizer.test_recognizer import (
    ANN,
    ANYTHING,
    BOB,
    DIMENSION,
    EMPTY,
    EVE,
    KEY,
    MODEL,
    ByColour,
    Script,
    embedder,
    frame,
    gallery,
    recognizer,
    several,
)

__all__ = ["embedder", "gallery", "recognizer"]
pytestmark = pytest.mark.filterwarnings("ignore:the limits for this enrolment are weaker")


def events(gallery: Gallery) -> list[str]:
    return [entry.event.event for entry in gallery.audit.report().entries]


def test_the_two_best_subjects_are_shown_rounded_and_recorded(
    recognizer: Recognizer, gallery: Gallery
) -> None:
    for name, colour in (("bob", BOB), ("eve", EVE)):
        recognizer.enrol(several(colour, 3), name)
    attempts = gallery.attempts.status()
    scores = recognizer.owner_scores(frame(BOB))
    assert scores[0].subject == "bob" and len(scores) == 2
    assert scores[0].score > 0.9 > scores[1].score
    assert all(score.score == round(score.score, 2) for score in scores)
    assert events(gallery)[-1] == "scores-shown"
    assert gallery.attempts.status() == attempts


def test_scores_are_shown_a_few_times_a_day(recognizer: Recognizer, gallery: Gallery, tmp_path: Path) -> None:
    for _ in range(MOST_PROBES):
        recognizer.owner_scores(frame(ANN))
    # The number is kept in the audit log, so another process does not start at 0.
    again = Gallery.open(tmp_path / "home.gallery", key=KEY, model_id=MODEL)
    with pytest.raises(GalleryError, match=f"scores were shown {MOST_PROBES} times within"):
        owner_scores(again, np.ones(DIMENSION, np.float32))
    assert events(gallery).count("scores-shown") == MOST_PROBES


def test_programs_that_count_at_the_same_time_show_no_more(
    recognizer: Recognizer, gallery: Gallery, tmp_path: Path
) -> None:
    for _ in range(MOST_PROBES - 1):
        recognizer.owner_scores(frame(ANN))
    programs = [Gallery.open(tmp_path / "home.gallery", key=KEY, model_id=MODEL) for _ in range(6)]

    def shows(program: Gallery) -> bool:
        try:
            return bool(owner_scores(program, np.ones(DIMENSION, np.float32)))
        except GalleryError:
            return False

    with ThreadPoolExecutor(len(programs)) as pool:
        assert sum(pool.map(shows, programs)) <= 1


def test_no_scores_are_shown_during_a_look(recognizer: Recognizer, gallery: Gallery) -> None:
    watch = recognizer.watch(Script(*[EVE] * 9))
    next(watch)
    with pytest.raises(InputError, match="expected no watched camera"):
        recognizer.owner_scores(frame(ANN))
    watch.close()
    assert recognizer.owner_scores(frame(ANN))


def test_a_bad_picture_has_no_scores_and_is_not_recorded(recognizer: Recognizer, gallery: Gallery) -> None:
    with pytest.raises(AcquisitionError):
        recognizer.owner_scores(frame(EMPTY))
    assert "scores-shown" not in events(gallery)


def test_without_an_audit_log_there_are_no_scores(embedder, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    silent = Gallery.create(
        tmp_path / "silent.gallery",
        key=InMemoryKey(b"y" * 32),
        model_id=MODEL,
        dimension=DIMENSION,
        audit="off",
    )
    recognizer = Recognizer(ByColour(), embedder, silent, limits=ANYTHING, enrolment_limits=ANYTHING)
    with pytest.raises(GalleryError, match="expected an audit log"):
        recognizer.owner_scores(frame(ANN))
