"""Policies decide by FPIR and number of templates, margin, retry band and subjects' own thresholds."""

import hashlib
import hmac
import math
import struct
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk.errors import GalleryError, GalleryFormatError, InputError, ModelCardError, SubjectUnknownError
from edge_sdk.gallery import AttemptPolicy, Decision, DecisionPolicy, Gallery, InMemoryKey, Reason
from edge_sdk.gallery.attempt_counter import (
    AttemptState,
    CounterIdentity,
    Moment,
    pack_limit,
    pack_state,
    parse_limit,
    parse_state,
)
from edge_sdk.gallery.format.content import DECISION_POLICY
from edge_sdk.gallery.match.search import Leader
from edge_sdk.gallery.rules.policy import (
    decide,
    pack_own_thresholds,
    pack_policy,
    parse_own_thresholds,
    parse_policy,
)
from tests.evidence_points import point

KEY = InMemoryKey(bytes(range(32)))
D = 8


POINTS = (point(1e-2, 0.3), point(1e-3, 0.4), point(1e-4, 0.5))
POLICY = DecisionPolicy(POINTS, fpir=0.01, retry_band=0.0)


def at_cosine(cosine: float, axis: int = 0, other: int = 7) -> np.ndarray:
    """Return a unit vector with a given cosine to an axis."""
    vector = np.zeros(D, np.float32)
    vector[axis], vector[other] = cosine, math.sqrt(1 - cosine**2)
    return vector


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home.gallery"


def door(path: Path, policy: DecisionPolicy | None, subjects: int = 1, templates: int = 1) -> Gallery:
    gallery = Gallery.create(
        path, key=KEY, model_id=bytes(32), dimension=D, transform="none", dtype="float16"
    )
    with gallery.transaction() as t:
        for axis in range(subjects):
            t.enrol(f"s{axis}", np.tile(at_cosine(1.0, axis), (templates, 1)))
        t.set_policy(policy)
    return gallery


@pytest.mark.parametrize(("templates", "limit"), [(1, 0.3), (2, 0.4), (10, 0.4), (11, 0.5), (100, 0.5)])
def test_the_threshold_follows_from_how_many_templates_are_searched(
    path: Path, templates: int, limit: float
) -> None:
    gallery = door(path, POLICY, templates=templates)
    assert gallery.identify(at_cosine(limit + 0.01)).accepted
    assert not gallery.identify(at_cosine(limit - 0.01)).accepted
    assert Gallery.open(path, key=KEY).identify(at_cosine(limit + 0.01)).subject == "s0"


def test_an_empty_gallery_rejects_and_needs_evidence_for_one(path: Path) -> None:
    gallery = door(path, POLICY, subjects=0)
    assert gallery.identify(at_cosine(1.0)).decision is Decision.REJECTED
    assert POLICY.limit(0) == POLICY.limit(1) == 0.3


def test_enrolment_beyond_the_evidence_is_refused(path: Path) -> None:
    gallery = door(path, POLICY, templates=100)
    with pytest.raises(ModelCardError, match=r"FPIR of 0\.01 over 101 references") as caught:
        gallery.enrol("one too many", at_cosine(1.0, 3))
    assert "--fmr" in str(caught.value.hint)
    assert gallery.identify(at_cosine(0.9)).accepted
    with gallery.transaction() as t:  # removed subjects make room in the same commit
        t.remove("s0")
        t.enrol("s1", np.tile(at_cosine(1.0, 1), (100, 1)))
    other = Gallery.create(path.with_suffix(".2"), key=KEY, model_id=bytes(32), dimension=D)
    with pytest.raises(ModelCardError), other.transaction() as t:
        t.set_policy(DecisionPolicy(POINTS, fpir=1e-5))
    assert other.status().generation == 1


@settings(deadline=None)
@given(fpir=st.floats(1e-6, 0.5), references=st.integers(0, 5000))
def test_the_threshold_keeps_the_fpir_or_says_what_is_missing(fpir: float, references: int) -> None:
    policy = DecisionPolicy(POINTS, fpir=fpir)
    kept = [p for p in POINTS if 1 - (1 - p.fmr) ** max(1, references) <= fpir * (1 + 1e-9)]
    if not kept:
        with pytest.raises(ModelCardError):
            policy.limit(references)
    else:
        assert policy.limit(references) == min(p.threshold for p in kept)


@pytest.mark.parametrize("fpir", [1e-300, 5e-324, 1e-14])
def test_an_fpir_that_no_evidence_supports_is_an_error(fpir: float) -> None:
    with pytest.raises(ModelCardError, match="a card can claim no FMR below 1e-15") as caught:
        DecisionPolicy(POINTS, fpir=fpir).limit(100_000)
    assert caught.value.hint == "choose a greater FPIR"


def test_the_threshold_of_a_verification_follows_from_the_subjects_templates(path: Path) -> None:
    gallery = door(path, POLICY, subjects=4, templates=5)
    assert gallery.verify(at_cosine(0.41), "s0").accepted
    assert not gallery.verify(at_cosine(0.39), "s0").accepted
    assert not gallery.identify(at_cosine(0.41)).accepted


def events(gallery: Gallery, kind: str) -> list[str]:
    return [entry.event.detail for entry in gallery.audit.report().entries if entry.event.event == kind]


@pytest.mark.parametrize("threshold", [-1, -1.0, 0, 0.0, 0.1, 0.2999999, np.float32(0.1), np.float64(-0.5)])
def test_a_threshold_below_the_policys_is_refused(path: Path, threshold: float) -> None:
    gallery = door(path, POLICY)
    stranger = at_cosine(0.2)
    for attempt in (
        lambda: gallery.identify(stranger, threshold=threshold),
        lambda: gallery.verify(stranger, "s0", threshold=threshold),
    ):
        with pytest.raises(InputError, match=r"at least 0\.3000.*decision policy requires") as caught:
            attempt()
        assert "--allow-lower-thresholds" in str(caught.value.hint)
    with pytest.raises(InputError, match=r"at least 0\.3000"), gallery.transaction() as t:
        t.set_threshold("s0", threshold)


def test_a_stricter_threshold_is_allowed(path: Path) -> None:
    gallery = door(path, POLICY)
    assert not gallery.identify(at_cosine(0.5), threshold=0.6).accepted
    assert gallery.identify(at_cosine(0.5), threshold=0.3).accepted
    assert gallery.verify(at_cosine(0.5), "s0", threshold=0.4).accepted


def test_the_threshold_in_the_error_can_be_given(path: Path) -> None:
    gallery = door(path, DecisionPolicy((point(1e-2, 0.312345),), fpir=0.01))
    with pytest.raises(InputError, match=r"at least 0\.3124,.*found 0\.3123$"):
        gallery.identify(at_cosine(0.5), threshold=0.3123)
    assert gallery.identify(at_cosine(0.5), threshold=0.3124).accepted


def test_a_gallery_beyond_its_evidence_takes_no_threshold_in_its_place(path: Path) -> None:
    gallery = door(path, POLICY, templates=3)
    session = gallery._session
    before = session.content
    too_strict = pack_policy(DecisionPolicy(POINTS, fpir=1e-5))
    records = [
        replace(record, value=too_strict) if record.kind == DECISION_POLICY else record
        for record in before.policy
    ]
    session.commit(before, replace(before, policy=tuple(records)))
    for threshold in (0.2, 0.99):
        with pytest.raises(ModelCardError):
            gallery.identify(at_cosine(1.0), threshold=threshold)


def test_an_allowed_lower_threshold_is_recorded_before_the_answer(path: Path) -> None:
    gallery = door(path, POLICY)
    with gallery.transaction() as t:
        t.allow_lower_thresholds(True)
    assert "a caller may give a lower threshold" in gallery.status().decides
    assert events(gallery, "threshold-override") == []
    assert gallery.identify(at_cosine(0.2), threshold=0.1).accepted
    assert gallery.identify(at_cosine(0.5), threshold=0.4).accepted
    gallery.verify(at_cosine(0.2), "s0", threshold=0.1)
    gallery.identify(at_cosine(0.2), threshold=0.05)
    assert events(gallery, "threshold-override") == [
        "policy=0.3000,given=0.1000",
        "policy=0.3000,given=0.0500",
    ]
    other = Gallery.open(path, key=KEY)
    other.identify(at_cosine(0.2), threshold=0.1)
    assert len(events(other, "threshold-override")) == 3
    log = path.with_name(path.name + ".audit")
    log.unlink()
    log.mkdir()
    with pytest.raises(GalleryError):
        Gallery.open(path, key=KEY).identify(at_cosine(0.2), threshold=0.1)


def test_lower_thresholds_are_allowed_only_with_a_policy_and_a_log(path: Path, tmp_path: Path) -> None:
    gallery = door(path, None)
    with pytest.raises(InputError, match="decision policy, found none"), gallery.transaction() as t:
        t.allow_lower_thresholds(True)
    silent = Gallery.create(tmp_path / "silent", key=KEY, model_id=bytes(32), dimension=D, audit="off")
    with pytest.raises(InputError, match="audit log, found none"), silent.transaction() as t:
        t.set_policy(POLICY)
        t.allow_lower_thresholds(True)
    with pytest.raises(InputError, match="True or False"), gallery.transaction() as t:
        t.allow_lower_thresholds(1)  # type: ignore[arg-type]
    with gallery.transaction() as t:
        t.set_policy(POLICY)
        t.allow_lower_thresholds(True)
    with gallery.transaction() as t:
        t.set_policy(None)
    with gallery.transaction() as t:
        t.set_policy(POLICY)
    with pytest.raises(InputError, match="at least"):
        gallery.identify(at_cosine(0.2), threshold=0.1)


NO_THRESHOLDS: list[Any] = [
    *(True, False, "0.5", b"0.5", [0.5], (0.5,), {}, np.array(0.5), np.array([0.5]), 1 + 0j, np.nan, np.inf),
    *(-np.inf, 2, -1.01, 10**400, np.float32(np.nan), np.bool_(True), Decimal("0.5"), object()),
]


@pytest.mark.parametrize("threshold", NO_THRESHOLDS, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("policy", [None, POLICY])
def test_a_threshold_of_another_kind_is_one_error(
    path: Path, policy: DecisionPolicy | None, threshold: Any
) -> None:
    gallery = door(path, policy)
    for attempt in (
        lambda: gallery.identify(at_cosine(0.5), threshold=threshold),
        lambda: gallery.verify(at_cosine(0.5), "s0", threshold=threshold),
        lambda: gallery.transaction().__enter__().set_threshold("s0", threshold),
    ):
        with pytest.raises(InputError, match=r"expected a threshold that is a cosine in -1\.\.1, found"):
            attempt()


def test_without_a_policy_each_caller_gives_a_threshold(path: Path) -> None:
    gallery = door(path, POLICY)
    with gallery.transaction() as t:
        t.set_policy(None)
    with pytest.raises(InputError, match="expected a threshold"):
        gallery.identify(at_cosine(1.0))
    with pytest.raises(InputError, match="expected a threshold"):
        gallery.verify(at_cosine(1.0), "s0")


def test_close_to_the_threshold_is_a_retry(path: Path) -> None:
    gallery = door(path, DecisionPolicy(POINTS, fpir=0.01, retry_band=0.05))
    answers = [gallery.identify(at_cosine(cosine)) for cosine in (0.31, 0.28, 0.24)]
    assert [(a.decision, a.reason, a.subject) for a in answers] == [
        (Decision.ACCEPTED, None, "s0"),
        (Decision.RETRY, Reason.CLOSE, None),
        (Decision.REJECTED, None, None),
    ]
    assert gallery.verify(at_cosine(0.28), "s0").reason is Reason.CLOSE


def test_two_subjects_with_similar_scores_are_a_retry(path: Path) -> None:
    gallery = door(path, DecisionPolicy(POINTS, fpir=0.01, margin=0.1), subjects=2)
    between = at_cosine(0.75, 0, 1)  # cosine 0.66 to the other subject
    assert (gallery.identify(between).decision, gallery.identify(between).reason) == (
        Decision.RETRY,
        Reason.AMBIGUOUS,
    )
    assert gallery.identify(at_cosine(0.8, 0, 1)).subject == "s0"
    assert gallery.verify(between, "s1").accepted
    with gallery.transaction() as t:
        t.revoke("s1")
    assert gallery.identify(between).subject == "s0"


def test_a_subjects_own_threshold_applies_only_if_stricter(path: Path) -> None:
    gallery = door(path, POLICY, subjects=2)
    with gallery.transaction() as t:
        t.set_threshold("s0", 0.8)
        t.set_threshold("s1", 0.3)
    gallery = Gallery.open(path, key=KEY)
    assert not gallery.identify(at_cosine(0.79)).accepted
    assert not gallery.verify(at_cosine(0.79), "s0").accepted
    assert gallery.identify(at_cosine(0.81)).subject == "s0"
    assert not gallery.identify(at_cosine(0.3, 1)).accepted
    assert gallery.identify(at_cosine(0.45, 1)).subject == "s1"
    with gallery.transaction() as t:
        t.set_threshold("s0", None)
    assert gallery.identify(at_cosine(0.79)).subject == "s0"
    with pytest.raises(InputError, match="cosine"), gallery.transaction() as t:
        t.set_threshold("s0", 1.5)
    with pytest.raises(SubjectUnknownError), gallery.transaction() as t:
        t.set_threshold("nobody", 0.5)


def test_removing_a_subject_removes_its_own_threshold(path: Path) -> None:
    gallery = door(path, POLICY, subjects=2)
    with gallery.transaction() as t:
        t.set_threshold("s0", 0.9)
    with gallery.transaction() as t:
        t.remove("s0")
        t.enrol("s0", at_cosine(1.0))
    assert gallery.identify(at_cosine(0.5)).subject == "s0"


@settings(deadline=None)
@given(
    scores=st.lists(st.floats(-1, 1), max_size=5),
    limit=st.floats(-1, 1),
    margin=st.floats(0, 1),
    band=st.floats(0, 1),
    own=st.dictionaries(st.integers(0, 4), st.floats(-1, 1)),
)
def test_no_subject_is_accepted_below_a_threshold_or_without_a_lead(
    scores: list[float], limit: float, margin: float, band: float, own: dict[int, float]
) -> None:
    leaders = sorted(
        (Leader(i, score) for i, score in enumerate(scores)), key=lambda a: (-a.score, a.subject)
    )
    decision, reason = decide(leaders, limit=limit, own=own, margin=margin, retry_band=band)
    assert (reason is not None) == (decision is Decision.RETRY)
    if decision is Decision.ACCEPTED:
        assert leaders[0].score >= max(limit, own.get(leaders[0].subject, -1))
        assert all(leaders[0].score - other.score >= margin for other in leaders[1:])
        assert all(leaders[0].score > other.score for other in leaders[1:])
    elif leaders and len(leaders) == 1:
        assert leaders[0].score < max(limit, own.get(leaders[0].subject, -1))


def test_the_policys_values_are_checked() -> None:
    for wrong in (
        {"operating_points": ()},
        {"operating_points": POINTS * 30},
        {"fpir": 0.0},
        {"fpir": 1.0},
        {"fpir": math.nan},
        {"margin": -0.1},
        {"margin": math.nan},
        {"retry_band": 1.1},
    ):
        with pytest.raises(InputError):
            DecisionPolicy(**{"operating_points": POINTS, "fpir": 0.01, **wrong})


def test_records_come_back_and_what_is_malformed_is_refused() -> None:
    value = pack_policy(DecisionPolicy(POINTS, fpir=0.02, margin=0.1, retry_band=0.03))
    assert parse_policy(value) == DecisionPolicy(POINTS, fpir=0.02, margin=0.1, retry_band=0.03)
    nan = np.float64(np.nan).tobytes()
    for wrong in (
        b"",
        value[:-1],
        value + b"\0",
        value[:24] + b"\xff" * 4 + value[28:],
        value[:28] + b"\1" + value[29:],
        nan + value[8:],
        value[:32] + nan + value[40:],
        bytes(32),
    ):
        with pytest.raises(GalleryFormatError):
            parse_policy(wrong)
    own = {b"a" * 16: 0.5, b"b" * 16: -0.25}
    packed = pack_own_thresholds(own)
    assert parse_own_thresholds(packed) == own
    for wrong in (packed[:-1], packed[24:] + packed[:24], packed[:24] * 2, b"a" * 16 + nan):
        with pytest.raises(GalleryFormatError):
            parse_own_thresholds(wrong)


def test_the_records_are_laid_out_as_the_page_says() -> None:
    """The expected bytes are written by hand from docs/reference/gallery-format.md."""
    head = struct.pack("<dddII", 0.02, 0.1, 0.03, 1, 0)
    point_bytes = struct.pack("<dddQQ", 0.3, 1e-2, 0.01, 100, 301)
    assert parse_policy(head + point_bytes) == DecisionPolicy(
        POINTS[:1], fpir=0.02, margin=0.1, retry_band=0.03
    )
    assert parse_own_thresholds(b"a" * 16 + struct.pack("<d", 0.5)) == {b"a" * 16: 0.5}
    limit = struct.pack("<IIII16s", 5, 50, 30, 0, b"c" * 16)
    assert parse_limit(limit) == (AttemptPolicy(), b"c" * 16)
    state = struct.pack(
        "<8s16s16sQQII16sQ",
        bytes.fromhex("894647540d0a1a0a"),
        b"g" * 16,
        b"c" * 16,
        7,
        6,
        5,
        0,
        b"b" * 16,
        1234,
    )
    identity = CounterIdentity(b"k" * 32, b"g" * 16, b"c" * 16)
    code = hmac.new(identity.key, state, hashlib.sha256).digest()
    parsed = parse_state(state + code, identity)
    assert parsed == AttemptState(failures=5, begun=6, writes=7, last=Moment(b"b" * 16, 1234))
    assert len(state + code) == 120
    assert parsed is not None
    assert pack_state(parsed, identity) == state + code
    assert pack_limit(AttemptPolicy(), b"c" * 16) == limit


def test_the_evidence_covers_no_more_than_most_references() -> None:
    for policy in (POLICY, DecisionPolicy(POINTS, fpir=1e-3), DecisionPolicy((point(0.1, 0.2),), fpir=0.3)):
        most = policy.most_references()
        policy.limit(most)
        with pytest.raises(ModelCardError):
            policy.limit(most + 1)
    assert DecisionPolicy((point(1e-9, 0.9),), fpir=0.01).most_references() == 100_000
