"""A gallery compares its subjects with each other, warns if the card's thresholds do not hold, and raises them."""

import math
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_sdk.diagnostics.doctor.check_result import CheckStatus
from edge_sdk.diagnostics.doctor.gallery import check_gallery
from edge_sdk.errors import CaptureError, GalleryError, GalleryFormatError, InputError, SubjectExistsError
from edge_sdk.gallery import DecisionPolicy, Gallery, InMemoryKey, TransferState
from edge_sdk.gallery.format.content import DECISION_POLICY, POLICY_EVIDENCE, PolicyRecord
from edge_sdk.gallery.format.records import PolicyEvidence, pack_policy_evidence, parse_policy_evidence
from edge_sdk.gallery.rules.policy import pack_policy
from edge_sdk.model.non_mated_scores import NonMatedScores
from edge_sdk.model.operating_point import OperatingPoint
from edge_sdk.notices import GalleryWarning
from tests.simulated_file_system import SimulatedFileSystem

KEY = InMemoryKey(bytes(range(32)))
D = 64
SD = D**-0.5
PATH = Path("door.gallery")
CARD = NonMatedScores(0.0, SD, 2.326 * SD, 0.01, comparisons=400_000, subjects=1000)


def point(fmr: float, threshold: float, **fields: object) -> OperatingPoint:
    trials = math.ceil(40 / fmr)
    claim: dict[str, object] = {
        "fmr_confidence": 0.95,
        "subjects": trials,
        "effective_comparisons": float(trials),
        "fmr_interval": (0.0, fmr),
    }
    return OperatingPoint(
        threshold, fmr, 0.01, mated_trials=100, non_mated_trials=trials, **{**claim, **fields}
    )  # type: ignore[arg-type]


POINTS = (point(1e-2, 2.5 * SD), point(1e-4, 4.0 * SD), point(1e-6, 5.0 * SD))
POLICY = DecisionPolicy(POINTS, fpir=0.01, non_mated_scores=CARD)
ADAPTING = replace(POLICY, adapts=True)


def person(seed: int, *, alike: float = 0.0, captures: int = 1) -> np.ndarray:
    """Return captures of a random subject; `alike` is the mean cosine of two subjects."""
    rng = np.random.default_rng(seed)
    own = rng.normal(size=D) * SD
    rows = own + 0.05 * SD * rng.normal(size=(captures, D))
    rows = math.sqrt(1 - alike) * rows
    rows[:, 0] += math.sqrt(alike)
    return rows.astype(np.float32)


def door(policy: DecisionPolicy | None = POLICY) -> tuple[Gallery, SimulatedFileSystem]:
    files = SimulatedFileSystem()
    gallery = Gallery.create(PATH, key=KEY, model_id=bytes(32), dimension=D, filesystem=files)
    with gallery.transaction() as t:
        t.set_policy(policy)
    return gallery, files


def fill(gallery: Gallery, count: int, *, alike: float = 0.0, first: int = 0) -> None:
    with gallery.transaction() as t:
        for number in range(first, first + count):
            t.enrol(f"s{number}", person(number, alike=alike), allow_duplicate=True)


def threshold_of(gallery: Gallery) -> float:
    threshold = gallery.status().threshold
    assert threshold is not None
    return threshold


def test_the_commit_that_shows_a_difference_warns_once() -> None:
    gallery, _ = door()
    warned = []
    for number in range(20):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", GalleryWarning)
            gallery.enrol(f"s{number}", person(number, alike=0.4), allow_duplicate=True)
        warned += [(number, str(w.message)) for w in caught]
    assert len(warned) == 1
    number, message = warned[0]
    assert 9 <= number < 15
    assert "pairs of different subjects match at cosine 0.2908, the card states" in message
    assert "the card's thresholds do not hold for these people or this camera" in message
    assert "edge-sdk gallery policy --adapt-threshold" in message
    status = gallery.status()
    assert status.transfer.state is TransferState.TOO_MANY_MATCHES
    assert status.transfer.unprotected
    assert status.strangers is None, "nobody knows the number if the thresholds do not hold"
    assert any(gap.startswith("strangers: ") for gap in status.not_protected)
    assert any("do not hold" in problem for problem in gallery.problems())


def test_people_like_those_of_the_card_are_reported_as_expected() -> None:
    gallery, _ = door()
    fill(gallery, 20)
    status = gallery.status()
    assert status.transfer.state is TransferState.AS_EXPECTED
    assert (status.transfer.subjects, status.transfer.pairs) == (20, 190)
    assert status.own_scores.endswith(
        "pairs of different subjects match at cosine 0.2908, the card states 1.9"
    )
    assert not any("strangers" in gap for gap in status.not_protected)


def test_storing_a_policy_in_a_full_gallery_warns() -> None:
    gallery, _ = door(None)
    fill(gallery, 20, alike=0.4)
    with pytest.warns(GalleryWarning, match="do not hold"), gallery.transaction() as t:
        t.set_policy(POLICY)
    with gallery.transaction() as t:  # thresholds are raised, so nothing is left to warn about
        t.set_policy(ADAPTING)
    assert gallery.status().transfer.alarm
    assert not gallery.status().transfer.unprotected


def test_a_policy_without_the_cards_scores_compares_nothing() -> None:
    gallery, _ = door(replace(POLICY, non_mated_scores=None))
    fill(gallery, 20, alike=0.4)
    status = gallery.status()
    assert status.transfer.state is TransferState.NOT_STORED
    assert (
        "thresholds that do not hold for this camera and these people are not noticed" in status.not_protected
    )
    with pytest.raises(InputError, match="needs the model card's non-mated scores") as caught:
        replace(POLICY, non_mated_scores=None, adapts=True)
    assert "edge-convert evaluate --write-card" in str(caught.value.hint)


def test_an_adapted_threshold_follows_the_people_who_come_and_go() -> None:
    gallery, files = door(ADAPTING)
    fill(gallery, 9, alike=0.4)
    assert threshold_of(gallery) == POLICY.limit(9)
    assert gallery.status().own_scores.endswith("until then the card's thresholds are used")
    fill(gallery, 1, alike=0.4, first=9)
    ten = threshold_of(gallery)
    assert ten > POLICY.limit(10) + 0.2
    assert f"threshold {ten:.4f} (raised from {POLICY.limit(10):.4f}" in gallery.status().decides
    fill(gallery, 10, alike=0.4, first=10)
    twenty = threshold_of(gallery)
    assert twenty != ten
    # Another process computes the same threshold from the stored templates.
    assert threshold_of(Gallery.open(PATH, key=KEY, needs_model=False, filesystem=files)) == twenty
    gallery.revoke("s3")  # the templates of a revoked subject are still captures of this camera
    assert threshold_of(gallery) == twenty
    gallery.erase("s3")
    assert threshold_of(gallery) not in (twenty, ten)
    for number in range(10, 20):
        gallery.remove(f"s{number}")
    gallery.remove("s4")
    assert threshold_of(gallery) == POLICY.limit(8)


@pytest.mark.filterwarnings("ignore:.*do not hold")
def test_answers_use_the_adapted_threshold() -> None:
    gallery, _ = door(ADAPTING)
    fill(gallery, 20, alike=0.4)
    limit, stated = threshold_of(gallery), POLICY.limit(20)
    stranger = person(500, alike=0.4)[0]
    assert gallery.identify(stranger, threshold=limit).accepted is False
    assert not gallery.identify(stranger).accepted
    assert gallery.identify(person(3, alike=0.4)[0]).subject == "s3"
    with pytest.raises(InputError, match="which the gallery's decision policy requires"):
        gallery.identify(stranger, threshold=(limit + stated) / 2)
    with gallery.transaction() as t:
        t.set_policy(POLICY)
    assert gallery.identify(stranger).accepted


@pytest.mark.filterwarnings("ignore:.*do not hold")
def test_enrolment_uses_the_adapted_threshold_too() -> None:
    gallery, _ = door()
    fill(gallery, 20, alike=0.4)
    with pytest.raises(SubjectExistsError, match="looks like"):
        gallery.enrol("new", person(500, alike=0.4))
    with gallery.transaction() as t:
        t.set_policy(ADAPTING)
    gallery.enrol("new", person(500, alike=0.4))
    with pytest.raises(SubjectExistsError, match="looks like 's3'"):
        gallery.enrol("again", person(3, alike=0.4))
    with pytest.raises(InputError, match="requires"), gallery.transaction() as t:
        t.set_threshold("s3", POLICY.limit(1) + 0.01)


def test_people_like_those_of_the_card_keep_about_its_threshold() -> None:
    gallery, _ = door(ADAPTING)
    fill(gallery, 40)
    assert POLICY.limit(40) <= threshold_of(gallery) < POLICY.limit(40) + 0.06


def test_one_person_under_two_names_neither_raises_the_threshold_nor_breaks_the_door() -> None:
    gallery, _ = door(ADAPTING)
    fill(gallery, 20)
    before = threshold_of(gallery)
    for name, captures in (("anna", person(900)), ("ann", person(900) + np.float32(0.002))):
        gallery.enrol(name, captures, allow_duplicate=True)
    status = gallery.status()
    assert status.transfer.set_aside == 1
    assert "check if a person is enrolled under two names" in status.own_scores
    assert threshold_of(gallery) == pytest.approx(max(before, POLICY.limit(22)), abs=0.03)
    assert gallery.identify(person(3)[0]).subject == "s3"


def test_a_policy_comes_back_as_it_was_stored() -> None:
    for policy in (POLICY, ADAPTING, replace(POLICY, non_mated_scores=None)):
        gallery, files = door(policy)
        stored = Gallery.open(PATH, key=KEY, needs_model=False, filesystem=files).policy
        assert stored is not None
        assert stored == gallery.policy
        assert (stored.non_mated_scores, stored.adapts) == (policy.non_mated_scores, policy.adapts)
    with gallery.transaction() as t:
        t.set_policy(None)
    assert gallery.policy is None
    assert gallery.status().evidence is None


def test_a_stored_policy_decides_by_the_limits_that_it_was_stored_with() -> None:
    earlier = {"fmr_confidence": None, "subjects": 0, "effective_comparisons": None}
    points = (
        point(1e-2, 0.3, **{**earlier, "fmr_interval": (0.005, 0.015)}),
        point(1e-3, 0.4, **{**earlier, "fmr_interval": (0.0, 0.004)}),
    )
    policy = DecisionPolicy(points, fpir=0.01)
    gallery, _ = door(policy)
    stored = gallery.policy
    assert stored is not None
    assert [p.fmr for p in stored.operating_points] == [0.015, 0.004]
    for references in (1, 2):
        assert stored.limit(references) == policy.limit(references) == 0.4
    assert stored.most_references() == policy.most_references() == 2
    # Captures are compared at the card's point for FMR 0.01, whose limit is higher.
    with pytest.raises(CaptureError, match="not like one another"):
        gallery.enrol("mixed", np.stack([person(1)[0], person(2)[0]]))
    gallery.enrol("ann", person(1, captures=2))
    status = gallery.status()
    assert status.evidence == (
        "claimed by the earlier rule: the true FMR may be higher, because edge-sdk 0.2 chose thresholds without allowance"
        " for chance; without the card's non-mated scores"
    )
    assert "edge-sdk gallery policy --model FILE --fpir 0.01" in str(status.evidence_renewal)
    assert "the true number may be higher" in str(status.strangers)


def test_claims_by_the_upper_limit_need_no_renewal() -> None:
    status = door()[0].status()
    assert status.evidence == "claimed by the upper confidence limit of the FMR"
    assert status.evidence_renewal is None
    assert str(status.strangers).startswith(
        "of 100 strangers who press the button once, at most about 1 gets in"
    )


def test_a_policy_of_an_earlier_version_decides_as_before() -> None:
    gallery, files = door(None)
    session = gallery._session
    records = [
        *session.content.policy,
        PolicyRecord(DECISION_POLICY, critical=True, value=pack_policy(POLICY)),
    ]
    after = replace(session.content, policy=tuple(sorted(records, key=lambda record: record.kind)))
    session.commit(session.content, after)
    old = Gallery.open(PATH, key=KEY, needs_model=False, filesystem=files)
    fill(old, 12, alike=0.4)
    status = old.status()
    assert status.transfer.state is TransferState.NOT_STORED
    assert status.threshold == POLICY.limit(12)
    assert str(status.evidence).startswith(
        "claimed by the earlier rule: the true FMR may be higher, because edge-sdk 0.2"
    )
    assert "edge-convert evaluate --write-card" in str(status.evidence_renewal)


def blurred(seed: int, *, noise: float, captures: int = 2) -> np.ndarray:
    """Return captures of a camera out of focus: all people are alike, and captures of one person differ as much."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=D) + noise * rng.normal(size=(captures, D))
    rows *= 0.6**0.5 * SD / math.hypot(1, noise)
    rows[:, 0] += 0.4**0.5
    return rows.astype(np.float32)


def fill_blurred(gallery: Gallery, count: int, *, noise: float, first: int = 0) -> None:
    with gallery.transaction() as t:
        for number in range(first, first + count):
            t.enrol(f"b{number}", blurred(number, noise=noise), allow_duplicate=True)


@pytest.mark.filterwarnings("ignore:.*do not hold")
def test_a_threshold_that_shuts_out_its_own_subjects_is_not_stored() -> None:
    gallery, files = door()
    fill_blurred(gallery, 20, noise=1.2)
    before, before_policy = gallery.status(), gallery.policy
    with (
        pytest.raises(GalleryError, match="at least 10 of 20 subjects match another template") as caught,
        gallery.transaction() as t,
    ):
        t.set_policy(ADAPTING)
    assert "improve the light, the focus and the distance" in str(caught.value.hint)
    assert "the gallery was not changed" in str(caught.value.hint)
    for door_now in (gallery, Gallery.open(PATH, key=KEY, needs_model=False, filesystem=files)):
        assert (door_now.status().generation, door_now.policy) == (before.generation, before_policy)


@pytest.mark.filterwarnings("ignore:.*do not hold")
def test_sharp_captures_of_people_who_look_alike_reach_the_raised_threshold() -> None:
    gallery, _ = door()
    fill_blurred(gallery, 20, noise=0.1)
    fill(gallery, 2, alike=0.4, first=100)  # subjects with one template show nothing
    with gallery.transaction() as t:
        t.set_policy(ADAPTING)
    status = gallery.status()
    assert status.raised is not None
    assert (status.raised.compared, status.raised.matching, status.raised.too_high) == (20, 20, False)
    assert status.raised.card_threshold == POLICY.limit(status.templates)
    assert status.raised.threshold == status.threshold
    assert "20 of 20 subjects with several templates still match another" in str(status.raised_threshold)
    assert gallery.problems() == ()


@pytest.mark.filterwarnings("ignore:.*do not hold")
def test_a_raised_threshold_of_one_is_not_stored() -> None:
    gallery, _ = door()
    with gallery.transaction() as t:
        for number in range(20):
            t.enrol(f"s{number}", person(number, alike=0.9 if number % 2 else 0.5), allow_duplicate=True)
    steep = replace(ADAPTING, non_mated_scores=replace(CARD, sd=SD / 4, threshold=2.326 * SD / 4))
    message = r"expected a raised threshold below 1, found 1 \(raised from"
    with pytest.raises(GalleryError, match=message), gallery.transaction() as t:
        t.set_policy(steep)
    assert gallery.policy is not None
    assert not gallery.policy.adapts


def test_a_policy_is_compared_with_the_people_of_its_own_transaction() -> None:
    gallery, _ = door(None)
    with pytest.raises(GalleryError, match="match another template"), gallery.transaction() as t:
        t.set_policy(ADAPTING)
        for number in range(20):
            t.enrol(f"b{number}", blurred(number, noise=1.2))
    assert gallery.status().subjects == 0


def test_a_gallery_whose_people_change_reports_that_nobody_is_accepted() -> None:
    gallery, _ = door(ADAPTING)
    fill(gallery, 12)
    assert gallery.problems() == ()
    # A bulk import of captures of a bad camera: enrolment checks are not part of it.
    session = gallery._session
    other, _ = door(None)
    fill_blurred(other, 20, noise=1.2)
    blurry = other._session.content
    with pytest.warns(GalleryWarning, match="most enrolled people are not accepted"):
        session.commit(
            session.content, replace(blurry, policy=session.content.policy, audit=session.content.audit)
        )
    status = gallery.status()
    assert status.raised is not None
    assert status.raised.too_high
    assert 2 * status.raised.matching < status.raised.compared == 20
    assert "most enrolled people are not accepted" in str(status.raised_threshold)
    assert any(gap.startswith("enrolled people: ") for gap in status.not_protected)
    assert any("most enrolled people are not accepted" in problem for problem in gallery.problems())
    (result,) = (
        r for r in check_gallery(lambda: gallery, model_id=None) if r.check == "gallery's thresholds"
    )
    assert result.status is CheckStatus.FAIL
    # The door stays shut: the threshold is not lowered.
    assert not gallery.identify(blurred(3, noise=1.2, captures=5)[4]).accepted
    # It is said once, not at each further change.
    with warnings.catch_warnings():
        warnings.simplefilter("error", GalleryWarning)
        gallery.remove("b0")


def evidence(**fields: object) -> PolicyEvidence:
    return replace(PolicyEvidence(0.25, CARD, adapts=True, upper_limits=True), **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "value",
    [
        evidence(),
        evidence(adapts=False),
        evidence(captures_threshold=None, upper_limits=False),
        evidence(scores=None, adapts=False),
        PolicyEvidence(),
    ],
)
def test_the_record_of_the_evidence_comes_back(value: PolicyEvidence) -> None:
    packed = pack_policy_evidence(value)
    assert len(packed) == 56
    assert parse_policy_evidence(packed) == value


@pytest.mark.parametrize(
    ("at", "change", "message"),
    [
        (0, b"\0" * 6 + b"\xf8\x7f", "threshold for captures"),  # NaN
        (8, b"\0" * 6 + b"\x00\x40", "expected mean and threshold in -1..1"),  # mean 2
        (16, bytes(8), "sd above 0"),
        (32, bytes(8), "FMR above 0"),
        (40, bytes(8), "1 or more comparisons"),
        (48, bytes(4), "2 or more subjects"),
        (52, b"\x1f", "unknown flags: 31"),
        (52, b"\x07", "expected the card's scores"),
        (52, b"\x06", "expected zeros in place of the card's scores"),
        (52, b"\x0b", "threshold for captures"),
    ],
)
def test_a_malformed_record_of_the_evidence_is_refused(at: int, change: bytes, message: str) -> None:
    packed = pack_policy_evidence(evidence())
    with pytest.raises(GalleryFormatError, match=message):
        parse_policy_evidence(packed[:at] + change + packed[at + len(change) :])


@pytest.mark.parametrize("length", [0, 55, 57])
def test_a_record_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(GalleryFormatError, match=r"expected 56\.\.56 bytes"):
        parse_policy_evidence(bytes(length))


@pytest.mark.parametrize("adapts", [True, False])
def test_a_record_is_critical_exactly_if_it_changes_decisions(adapts: bool) -> None:
    gallery, _ = door(replace(POLICY, adapts=adapts))
    (record,) = (r for r in gallery._session.content.policy if r.kind == POLICY_EVIDENCE)
    assert record.critical is adapts


def test_turning_adaptation_on_is_in_the_audit_log() -> None:
    gallery, _ = door()
    with gallery.transaction() as t:
        t.set_policy(ADAPTING)
    details = [entry.event.detail for entry in gallery.audit.report().entries]
    assert details[-1] == f"kind={POLICY_EVIDENCE}"
