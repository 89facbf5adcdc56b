"""Error rates agree with their definitions on scores with known results."""

import numpy as np
import pytest

from tools.products import open_set


def _unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_separable_products_have_no_errors():
    labels = np.repeat(np.arange(8), 5)
    rng = np.random.default_rng(0)
    figures = open_set.verification(_unit(np.eye(8)[labels] + rng.normal(0, 0.01, (40, 8))), labels)
    assert figures["mated"] == 8 * 10
    assert figures["non_mated"] == 40 * 39 // 2 - 80
    assert figures["tar@0.001"] == 1.0
    assert figures["eer"] == 0.0


def test_chance_scores_give_chance_rates_and_keep_the_fmr():
    labels = np.repeat(np.arange(60), 5)
    embeddings = _unit(np.random.default_rng(1).normal(0, 1, (300, 32)))
    figures = open_set.verification(embeddings, labels)
    assert figures["eer"] == pytest.approx(0.5, abs=0.04)
    scores = (embeddings @ embeddings.T)[labels[:, None] < labels[None, :]]
    for fmr in open_set.FMRS:
        assert (scores >= figures[f"threshold@{fmr:g}"]).mean() <= fmr


def test_a_search_identifies_the_owner_and_rejects_strangers():
    references = np.eye(4)
    probes = _unit(np.vstack([np.eye(4)[[0, 1, 2, 3]] + 0.1, np.ones((100, 4))]))
    owners = np.array([0, 1, 2, 3] + [-1] * 100)
    figures = open_set.identification(references, probes, owners, fpir=0.01)
    assert figures["rank1"] == 1.0
    assert figures["fnir"] == 0.0
    assert (figures["mated_probes"], figures["non_mated_probes"]) == (4, 100)
