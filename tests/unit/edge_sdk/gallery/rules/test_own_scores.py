"""Scores of a gallery's own subjects: every pair of subjects counts once, whatever their numbers of templates."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from edge_sdk.gallery.format.content import SUBJECT, TEMPLATE, Content, empty_content
from edge_sdk.gallery.format.header import TemplateType
from edge_sdk.gallery.match.templates import quantize
from edge_sdk.gallery.rules.own_scores import MAX_SUBJECTS, MAX_TEMPLATES, OwnScores

D = 32


def content_of(rows: list[np.ndarray], template_type: TemplateType = TemplateType.INT8) -> Content:
    """Return a content with one subject per array of unit rows."""
    table = np.zeros(sum(map(len, rows)), TEMPLATE)
    table["subject"] = np.repeat(np.arange(len(rows)), [len(own) for own in rows])
    empty = empty_content(bytes(32), template_type, D)
    if not rows:
        return empty
    matrix, table["scale"] = quantize(np.concatenate(rows), template_type)
    return replace(empty, subjects=np.zeros(len(rows), SUBJECT), templates=table, matrix=matrix)


def unit(seed: int, count: int) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, D))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("template_type", TemplateType)
def test_moments_and_matches_are_those_of_all_pairs_of_templates(template_type: TemplateType) -> None:
    rows = [unit(seed, 1 + seed % 3) for seed in range(9)]
    own = OwnScores(content_of(rows, template_type))
    scores = [(a @ b.T).ravel() for a, b in itertools.combinations(rows, 2)]
    moments = own.moments()
    assert (own.subjects, own.pairs, moments.set_aside) == (9, 36, 0)
    assert moments.mean == pytest.approx(np.mean([s.mean() for s in scores]), abs=2e-3)
    square = np.mean([(s**2).mean() for s in scores])
    assert moments.sd == pytest.approx((square - np.mean([s.mean() for s in scores]) ** 2) ** 0.5, abs=2e-3)
    assert own.matches(0.2)[0] == pytest.approx(sum((s >= 0.2).mean() for s in scores), abs=0.6)


def test_the_order_of_templates_does_not_matter() -> None:
    content = content_of([unit(seed, 1 + seed % 3) for seed in range(9)])
    order = np.random.default_rng(0).permutation(len(content.templates))
    mixed = replace(content, templates=content.templates[order], matrix=content.matrix[order])
    assert OwnScores(mixed).moments().mean == pytest.approx(OwnScores(content).moments().mean, abs=1e-12)
    assert OwnScores(mixed).matches(0.1) == pytest.approx(OwnScores(content).matches(0.1))


def test_one_pair_of_captures_of_the_same_person_changes_nothing() -> None:
    rows = list(unit(1, 20)[:, np.newaxis])
    before = OwnScores(content_of(rows)).moments()
    twice = unit(2, 1) + 0.05 * unit(3, 1)
    rows[4], rows[7] = unit(2, 1), twice / np.linalg.norm(twice)
    after = OwnScores(content_of(rows)).moments()
    assert (before.set_aside, after.set_aside) == (0, 1)
    assert after.mean == pytest.approx(before.mean, abs=0.02)
    assert after.sd == pytest.approx(before.sd, rel=0.1)


def test_the_variance_of_correlated_matches_is_that_of_their_hub() -> None:
    # Subject 0 matches each of the other nine, who match nobody else.
    rows = [np.eye(D)[[0]], *([0.6 * np.eye(D)[[0]] + 0.8 * np.eye(D)[[n]] for n in range(1, 10)])]
    own = OwnScores(content_of(rows))
    assert own.matches(0.5) == (9.0, pytest.approx(8.0, rel=0.3))
    assert own.matches(1.1) == (0.0, 1.0)
    assert own.matches(-1.0) == (45.0, 1.0)


def test_the_work_is_bounded_and_the_sample_is_fixed() -> None:
    rows = [np.tile(row, (MAX_TEMPLATES + 2, 1)) for row in unit(5, 2 * MAX_SUBJECTS + 1)]
    own = OwnScores(content_of(rows))
    assert own.subjects == MAX_SUBJECTS
    assert own.moments() == OwnScores(content_of(rows)).moments()
    chosen = [place * len(rows) // MAX_SUBJECTS for place in range(MAX_SUBJECTS)]
    assert own.moments() == OwnScores(content_of([rows[place][:MAX_TEMPLATES] for place in chosen])).moments()


@pytest.mark.parametrize("subjects", [0, 1])
def test_too_few_subjects_have_no_pair(subjects: int) -> None:
    own = OwnScores(content_of(list(unit(1, subjects)[:, np.newaxis])))
    assert (own.subjects, own.pairs) == (subjects, 0)
    assert own.moments().sd == 0
    assert own.matches(0.0) == (0.0, 1.0)


def test_subjects_match_themselves_by_two_different_templates() -> None:
    a, b = np.eye(D)[0], np.eye(D)[1]
    near = 0.8 * a + 0.6 * b
    content = content_of(
        [
            np.stack([a, near]),  # cosine 0.8
            np.stack([a, b, near]),  # best pair 0.8
            np.stack([a, b]),
            np.stack([a, a]),  # one capture, stored twice
            a[np.newaxis],
        ]
    )
    assert OwnScores(content).own_matches(0.75) == (3, 2)
    assert OwnScores(content).own_matches(0.9) == (3, 0)
    assert OwnScores(content).own_matches(-1.0) == (3, 3)


def test_no_subject_matches_in_an_empty_gallery() -> None:
    assert OwnScores(content_of([])).own_matches(0.5) == (0, 0)


def test_own_matches_are_counted_in_the_same_bounded_sample() -> None:
    content = content_of([unit(1, 6) for _ in range(MAX_SUBJECTS + 50)])
    assert OwnScores(content).own_matches(-1.0) == (MAX_SUBJECTS, MAX_SUBJECTS)
