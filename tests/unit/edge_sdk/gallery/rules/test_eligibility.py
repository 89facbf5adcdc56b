"""Eligibility is right for every subject, and its period ends no later than it changes."""

from types import SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk.gallery.format.content import SUBJECT, TEMPLATE
from edge_sdk.gallery.rules.eligibility import Eligibility
from edge_sdk.gallery.rules.known_time import KnownTime


@settings(deadline=None)
@given(
    validities=st.lists(
        st.tuples(st.integers(0, 50), st.integers(0, 50), st.booleans()), min_size=1, max_size=6
    ),
    times=st.lists(st.floats(0, 60), min_size=2, max_size=6),
)
def test_eligibility_holds_until_it_changes(
    validities: list[tuple[int, int, bool]], times: list[float]
) -> None:
    subjects, templates = np.zeros(len(validities), SUBJECT), np.zeros(len(validities), TEMPLATE)
    templates["subject"] = np.arange(len(validities))
    for index, (begins, lasts, revoked) in enumerate(validities):
        subjects[index]["valid_from"] = begins
        subjects[index]["valid_until"] = begins + lasts if lasts else 0
        subjects[index]["flags"] = int(revoked)
    content: Any = SimpleNamespace(subjects=subjects, templates=templates)
    first = Eligibility.at(content, KnownTime(times[0]))
    for now in times:
        expected = [
            not revoked and begins <= int(now) and (lasts == 0 or int(now) < begins + lasts)
            for begins, lasts, revoked in validities
        ]
        fresh = Eligibility.at(content, KnownTime(now))
        assert fresh.subjects.tolist() == expected
        assert fresh.holds(KnownTime(now))
        assert fresh.excluded_rows.tolist() == np.flatnonzero(~np.array(expected)).tolist()
        if first.holds(KnownTime(now)):
            assert first.subjects.tolist() == expected
