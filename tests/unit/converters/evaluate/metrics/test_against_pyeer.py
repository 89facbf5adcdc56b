"""Error rates compared with those of pyeer, an independent package, on the same scores."""

from __future__ import annotations

import numpy as np
import pytest

from converters.evaluate.metrics import equal_error_rate, from_scores, threshold_at_fmr

eer_info = pytest.importorskip("pyeer.eer_info")


@pytest.mark.parametrize("seed", range(3))
def test_fnmr_at_fmr_equals_pyeers(seed: int) -> None:
    random = np.random.default_rng(seed)
    mated = random.normal(0.6, 0.15, 1500).clip(-1, 1).astype(np.float32)
    non_mated = random.normal(0, 0.15, 20_000).clip(-1, 1).astype(np.float32)
    theirs = eer_info.get_eer_stats(mated.tolist(), non_mated.tolist())
    scores = from_scores(mated, non_mated)
    for fmr, fnmr in ((1e-2, theirs.fmr100), (1e-3, theirs.fmr1000)):
        threshold = threshold_at_fmr(scores, fmr)
        assert float((mated < threshold).mean()) == pytest.approx(fnmr, abs=1e-9)
    # The packages interpolate differently between two scores; the difference is less than one comparison.
    ours = equal_error_rate(scores)
    assert ours
    assert ours.rate == pytest.approx(theirs.eer, abs=1 / len(mated))
