"""Decision policy, thresholds of subjects and limits on attempts, from the command line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.fixture
def alice(products: list[Any]) -> Path:
    """The image that is enrolled as alice."""
    image: Path = products[0].enrol
    return image


@pytest.fixture
def stranger(products: list[Any]) -> Path:
    """An image of another product, the one least similar to alice."""
    image: Path = products[-1].enrol
    return image


@pytest.fixture
def door(tmp_path: Path, model_with_evidence: Path, edge_sdk: Run, alice: Path) -> dict[str, list[Any]]:
    """A gallery with alice and a policy: FPIR 0.01 for one template needs FMR 0.01, at threshold 0.9."""
    own = ["--gallery", tmp_path / "p.gallery", "--key", tmp_path / "p.key"]
    files = ["--model", model_with_evidence, *own]
    assert edge_sdk("enrol", "alice", alice, *files).code == 0
    done = edge_sdk("gallery", "policy", *files, "--fpir", "0.01")
    assert (done.code, done.out) == (
        0,
        "threshold 0.9000 for 1 template; the evidence suffices for up to 10 templates\n"
        "operating points: claimed by the earlier rule: the true FMR may be higher, because edge-sdk 0.2 chose thresholds"
        " without allowance for chance; without the card's non-mated scores\n"
        "to renew them: edge-convert evaluate --write-card, then edge-sdk gallery policy --model FILE --fpir 0.01\n"
        "own subjects: not compared with the card: no non-mated scores of the card are stored\n"
        "of 100 strangers who press the button once, about 1 gets in; the true number may be higher, because the evidence"
        " has no upper limits\n",
    )
    return {"files": files, "own": own}


def test_the_policy_decides_where_nothing_is_asked(
    edge_sdk: Run, door: dict[str, list[Any]], alice: Path, stranger: Path
) -> None:
    assert edge_sdk("identify", alice, *door["files"]).out == f"{alice}: accepted as alice\n"
    assert edge_sdk("verify", "alice", alice, *door["files"]).code == 0
    done = edge_sdk("identify", stranger, *door["files"], "--json")
    assert (done.code, json.loads(done.out)[0]["decision"]) == (1, "rejected")


def test_a_threshold_below_the_policys_is_refused_unless_allowed(
    edge_sdk: Run, door: dict[str, list[Any]], alice: Path, stranger: Path
) -> None:
    for lower in (("--threshold", "-1"), ("--threshold", "0.8999")):
        done = edge_sdk("identify", stranger, *door["files"], *lower)
        assert done.code == 3
        assert "at least 0.9000, which the gallery's decision policy requires" in done.err
    done = edge_sdk("verify", "alice", stranger, *door["files"], "--threshold", "0")
    assert (done.code, done.out) == (3, "")
    assert "--allow-lower-thresholds" in done.err
    assert edge_sdk("identify", alice, *door["files"], "--threshold", "0.9").code == 0
    assert edge_sdk("identify", stranger, *door["files"], "--threshold", "0.95").code == 1
    allow = ("gallery", "policy", *door["files"], "--fpir", "0.01", "--allow-lower-thresholds", "--json")
    assert json.loads(edge_sdk(*allow).out)["lower_thresholds_allowed"] is True
    confirmation = "callers may now give lower thresholds; the audit log records their use"
    assert edge_sdk(*allow[:-1]).out.splitlines()[-1] == confirmation
    assert confirmation not in edge_sdk("gallery", "policy", *door["files"], "--fpir", "0.01").out
    assert edge_sdk(*allow[:-1]).code == 0
    assert edge_sdk("identify", stranger, *door["files"], "--threshold", "-1").code == 0
    assert "policy 0.9000, given -1.0000" in edge_sdk("gallery", "audit", *door["own"]).out
    assert edge_sdk("gallery", "policy", *door["files"], "--fpir", "0.01").code == 0
    assert edge_sdk("identify", stranger, *door["files"], "--threshold", "-1").code == 3


def test_more_can_be_asked_of_one_subject_and_taken_back(
    edge_sdk: Run, door: dict[str, list[Any]], alice: Path
) -> None:
    done = edge_sdk("gallery", "threshold", "alice", "1", *door["own"])
    assert (done.code, done.out) == (0, "alice: threshold 1\n")
    assert edge_sdk("gallery", "list", *door["own"]).out == "alice\t1\t\tthreshold 1\n"
    assert (
        edge_sdk("identify", alice, *door["files"]).code == 1
    )  # the int8 template differs from its float embedding
    done = edge_sdk("gallery", "threshold", "alice", "--none", *door["own"], "--json")
    assert json.loads(done.out) == {"subject": "alice", "threshold": None}
    assert json.loads(edge_sdk("gallery", "list", *door["own"], "--json").out)[0]["threshold"] is None
    assert edge_sdk("identify", alice, *door["files"]).code == 0
    # A threshold below the policy's would have no effect.
    assert edge_sdk("gallery", "threshold", "alice", "-0.5", *door["own"]).code == 3
    assert edge_sdk("gallery", "threshold", "eve", "0.7", *door["own"]).code == 3
    assert "-1..1" in edge_sdk("gallery", "threshold", "alice", "7", *door["own"]).err
    for wrong in ([], ["0.7", "--none"]):
        assert edge_sdk("gallery", "threshold", "alice", *wrong, *door["own"]).code == 2


@pytest.fixture
def measured(
    edge_sdk: Run, tmp_path: Path, alice: Path, make_model: Callable[..., bytes]
) -> Callable[..., list[Any]]:
    """Enrol alice with a model of the given operating points; return the options that name the files."""

    def enrol(*points: Any) -> list[Any]:
        model = tmp_path / "measured.tflite"
        model.write_bytes(make_model(operating_points=points))
        files = ["--model", model, "--gallery", tmp_path / "m.gallery", "--key", tmp_path / "m.key"]
        assert edge_sdk("enrol", "alice", alice, *files).code == 0
        return files

    return enrol


def test_a_policy_prints_the_confidence_interval_of_its_evidence(
    edge_sdk: Run, measured: Callable[..., list[Any]], make_evidence: Callable[..., Any]
) -> None:
    claim = {"fmr_confidence": 0.95, "subjects": 40, "effective_comparisons": 700.0}
    point = make_evidence(threshold=0.9, fmr=1e-2, fmr_measured=8e-3, fmr_interval=(0.002, 0.011), **claim)
    files = measured(point)
    lines = edge_sdk("gallery", "policy", *files, "--fpir", "0.01").out.splitlines()
    assert lines[1] == (
        "95 % confidence interval of the FPIR at the card's threshold: 0.2 % to 1.1 %, from 40 people"
    )
    assert lines[2].startswith("operating points: claimed by the upper confidence limit of the FMR; without")
    assert lines[-1].startswith(
        "of 100 strangers who press the button once, at most about 1 gets in (with 95 %"
    )
    done = edge_sdk("gallery", "policy", *files, "--fpir", "0.05", "--json")
    assert json.loads(done.out)["fpir_interval"] == pytest.approx([0.002, 0.011])


def test_a_point_of_the_earlier_rule_counts_with_the_end_of_its_interval(
    edge_sdk: Run, measured: Callable[..., list[Any]], make_evidence: Callable[..., Any], alice: Path
) -> None:
    point = make_evidence(threshold=0.9, fmr=1e-2, fmr_measured=8e-3, fmr_interval=(0.002, 0.02))
    files = measured(point)
    done = edge_sdk("gallery", "policy", *files, "--fpir", "0.01")
    assert (done.code, "needs an operating point at FMR 0.01 or less, found 0.02" in done.err) == (3, True)
    assert "and 25 or more subjects" in done.err
    lines = edge_sdk("gallery", "policy", *files, "--fpir", "0.05").out.splitlines()
    assert lines[1] == "95 % confidence interval of the FPIR at the card's threshold: 0.2 % to 2 %"
    assert lines[2].startswith("operating points: claimed by the earlier rule: the true FMR may be higher")
    assert lines[-1].startswith(
        "of 100 strangers who press the button once, about 5 get in; the true number may"
    )
    assert lines[4] == (
        "stricter than requested: FPIR at most 2 %, because the card's nearest claim is FMR 0.01;"
        " edge-convert evaluate --write-card --fmr 0.05,0.01 would lower the threshold"
    )
    # The stored policy decides as the card did, and the captures of one subject are compared as before.
    assert edge_sdk("identify", alice, *files).out == f"{alice}: accepted as alice\n"
    assert edge_sdk("gallery", "policy", *files, "--fpir", "0.1").code == 0
    assert edge_sdk("enrol", "bob", alice, alice, *files, "--allow-duplicate").code == 0


def test_a_policy_takes_evidence(edge_sdk: Run, home: Any, door: dict[str, list[Any]]) -> None:
    done = edge_sdk("gallery", "policy", *home.all, "--fpir", "0.01")
    assert (done.code, "expected 1..64 operating points, found 0" in done.err) == (3, True)
    done = edge_sdk("gallery", "policy", *door["files"], "--fpir", "1e-4")
    assert (done.code, "needs an operating point at FMR 0.0001 or less" in done.err) == (3, True)
    done = edge_sdk("gallery", "policy", *door["files"], "--fpir", "2")
    assert (done.code, "expected FPIR above 0 and under 1" in done.err) == (3, True)


def test_somebody_alike_is_refused_by_name_unless_an_administrator_says_so(
    edge_sdk: Run, door: dict[str, list[Any]], alice: Path
) -> None:
    done = edge_sdk("enrol", "mallory", alice, *door["files"])
    assert (done.code, "'mallory' looks like 'alice'" in done.err) == (3, True)
    assert edge_sdk("enrol", "mallory", alice, *door["files"], "--allow-duplicate").code == 0
    assert edge_sdk("identify", alice, *door["files"]).code == 1  # alice and mallory have the same score


def test_an_image_of_another_subject_is_named(
    edge_sdk: Run, door: dict[str, list[Any]], products: list[Any], stranger: Path
) -> None:
    other = products[0].enrol
    done = edge_sdk("enrol", "eve", stranger, stranger, other, *door["files"], "--allow-duplicate")
    assert done.code == 3
    assert f"{other}: capture 3 of 3 is not like the others" in done.err


def test_attempts_are_counted_reset_and_printed(
    edge_sdk: Run, door: dict[str, list[Any]], alice: Path, stranger: Path
) -> None:
    done = edge_sdk("gallery", "limit-attempts", *door["own"])
    assert (done.code, done.out) == (
        0,
        "attempts: wait of 30 s after 5 failed attempts in a row, disabled after 50\n"
        "after 5 failed presses in a row everybody waits 30 s between presses; after 50 an administrator must reset them"
        " (edge-sdk gallery reset-attempts)\n",
    )
    for _ in range(5):
        assert edge_sdk("identify", stranger, *door["files"]).out == f"{stranger}: rejected\n"
    assert edge_sdk("identify", alice, *door["files"]).out == f"{alice}: locked out (wait)\n"
    status = json.loads(edge_sdk("gallery", "status", *door["own"], "--json").out)
    assert status["failures"] == 5
    door["own"][1].with_name("p.gallery.attempts").unlink()
    done = edge_sdk("verify", "alice", alice, *door["files"], "--json")
    assert (done.code, json.loads(done.out)["reason"]) == (1, "counter")
    assert edge_sdk("gallery", "reset-attempts", *door["own"]).code == 0
    assert edge_sdk("identify", alice, *door["files"]).code == 0
    assert edge_sdk("gallery", "limit-attempts", *door["own"], "--pad").out.startswith(
        "attempts: wait of 30 s after 10 failed attempts in a row, disabled after 100\n"
    )
    assert edge_sdk("gallery", "limit-attempts", *door["own"], "--none").out == "attempts: not limited\n"
    done = edge_sdk("gallery", "reset-attempts", *door["own"])
    assert (done.code, "set a limit with edge-sdk gallery limit-attempts" in done.err) == (3, True)


def test_status_says_how_it_decides_and_that_nobody_may_try(
    edge_sdk: Run, home: Any, door: dict[str, list[Any]], stranger: Path
) -> None:
    def status(files: Any) -> dict[str, Any]:
        return dict(json.loads(edge_sdk("gallery", "status", *files, "--json").out))

    assert status(home.files)["decides"] == "by a threshold from each caller: no policy is stored"
    state = status(door["own"])
    assert state["decides"] == (
        "FPIR 0.01, margin 0, retry band 0.02; threshold 0.9000, the evidence covers up to 10 templates"
    )
    assert (state["failures"], state["locked_out"]) == (None, None)
    assert edge_sdk("gallery", "limit-attempts", *door["own"]).code == 0
    edge_sdk("identify", *[stranger] * 5, *door["files"])
    state = status(door["own"])
    assert state["failures"] == 5
    assert state["locked_out"].startswith("wait: next attempt in ")
    counter = door["own"][1].parent / "p.gallery.attempts"
    counter.unlink()
    state = status(door["own"])
    assert (state["failures"], state["locked_out"]) == (
        None,
        "counter: reset with edge-sdk gallery reset-attempts",
    )
    verified = edge_sdk("gallery", "verify", *door["own"])
    assert verified.code == 1
    assert "problem: the attempt counter is missing, altered or of another limit" in verified.out
    assert edge_sdk("gallery", "reset-attempts", *door["own"]).code == 0
    assert edge_sdk("gallery", "verify", *door["own"]).code == 0
    counter.chmod(0o644)
    assert f"problem: {counter} has mode 0644" in edge_sdk("gallery", "verify", *door["own"]).out
    assert (status(door["own"])["failures"], status(door["own"])["locked_out"]) == (0, None)


def test_verify_prints_how_to_renew_evidence_of_the_earlier_rule(
    edge_sdk: Run, door: dict[str, list[Any]]
) -> None:
    done = edge_sdk("gallery", "verify", *door["own"])
    notes = [line for line in done.out.splitlines() if line.startswith("note: ")]
    assert done.code == 0
    assert "note: operating points claimed by the earlier rule" in notes[0]
    assert "edge-convert evaluate --write-card" in notes[1]
    assert len(json.loads(edge_sdk("gallery", "verify", *door["own"], "--json").out)["notes"]) == 2


def test_a_threshold_of_an_option_below_the_policys_names_the_option(
    edge_sdk: Run, measured: Callable[..., list[Any]], make_evidence: Callable[..., Any], alice: Path
) -> None:
    points = (
        make_evidence(threshold=0.5, fmr=1e-2),
        make_evidence(threshold=0.9, fmr=1e-3, non_mated_trials=40_000),
    )
    files = measured(*points)
    assert edge_sdk("gallery", "policy", *files, "--fpir", "0.001").code == 0
    for option, command in (
        ("--fmr", ("verify", "alice", alice)),
        ("--fpir", ("identify", alice)),
    ):
        done = edge_sdk(*command, *files, option, "0.01")
        assert done.code == 3
        assert (
            f"{option} 0.01 means threshold 0.5000, below 0.9000, which the gallery's decision policy"
            in done.err
        )
        assert "--allow-lower-thresholds" in done.err
