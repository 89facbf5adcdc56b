"""The status of a gallery, as values and in words, and its problems."""

from __future__ import annotations

import math

import numpy as np

from edge_sdk.errors import GalleryError
from edge_sdk.gallery.attempt_counter import AttemptPolicy, counter_path
from edge_sdk.gallery.captures.files import captures_of, kept_of
from edge_sdk.gallery.captures.files import problems as companion_problems
from edge_sdk.gallery.creation import MODEL_KINDS, SUITES, TEMPLATE_TYPES, TRANSFORMS, name_of
from edge_sdk.gallery.exchange.export import recipient_of
from edge_sdk.gallery.format.content import AUDIT_ANSWERS, AUDIT_POLICY
from edge_sdk.gallery.key_epoch import unclaimed_secrets
from edge_sdk.gallery.keys import slot_kind
from edge_sdk.gallery.keys.provider import strength_of_key
from edge_sdk.gallery.match.matcher import Matcher
from edge_sdk.gallery.mixed_subjects import MIXED_ADVICE, mixed_in_words, mixed_subjects
from edge_sdk.gallery.own_scores_warning import threshold_problem
from edge_sdk.gallery.results import AttemptStatus, GalleryStatus, Reason
from edge_sdk.gallery.rules.known_time import format_duration
from edge_sdk.gallery.rules.raised_threshold import TOO_HIGH_ADVICE, RaisedThreshold
from edge_sdk.gallery.rules.thresholds import (
    check_content,
    evidence_in_words,
    raised_threshold_of,
    stored_rate_in_words,
)
from edge_sdk.gallery.rules.transfer import TransferCheck, TransferState
from edge_sdk.gallery.rules.transfer_words import ADVICE, in_words, raised_in_words
from edge_sdk.gallery.session import Session
from edge_sdk.gallery.store.anchor import NoAnchor, TpmCounter
from edge_sdk.gallery.store.files import audit_path, lock_path, tmp_path

_LENGTH_TOLERANCE = 1e-5
# What a key does not protect against, by its level.
_KEY_GAPS = (
    "someone who has the disk also has the key: only a stray copy of the gallery file is protected",
    "someone who has the disk also has the host key: only a stray copy of the gallery file is protected",
    "a passphrase can be guessed from a copy of the file, and it must be typed at every start",
    "someone who runs as root on this board, or steals board and card together, has the key",
    "someone who runs as root on this device has the key while it runs",
)
_GUESSED = "someone who has a copy of the file can guess the passphrase"


def status_of(session: Session, attempts: AttemptStatus | None) -> GalleryStatus:
    """Return the status of an open gallery."""
    header, content = session.header, session.content
    strength = strength_of_key(session.key, session.environment.path)
    clock, clock_behind_s = _clock(session)
    transfer = check_content(content)
    raised = raised_threshold_of(content)
    has_policy = session.matcher.policy is not None
    evidence, renewal = evidence_in_words(content) if has_policy else (None, None)
    threshold = _threshold(session.matcher)
    # If the card's thresholds do not hold here, the number of strangers is not known.
    knows_rate = threshold is not None and not transfer.unprotected
    mixed = mixed_subjects(content)
    return GalleryStatus(
        path=str(session.environment.path),
        gallery_id=header.gallery_id.hex(),
        model_id=header.model_id.hex(),
        model_kind=name_of(MODEL_KINDS, header.model_kind),
        key_level=strength.level,
        key_name=session.key.name,
        key_weakness=strength.weakness,
        key_slots=len(header.slots),
        key_epoch=header.key_epoch,
        anchor=_anchor(session),
        generation=header.generation,
        state=str(session.state),
        suite=name_of(SUITES, header.suite),
        transform=name_of(TRANSFORMS, header.transform),
        dtype=name_of(TEMPLATE_TYPES, header.template_type),
        dimension=header.dimension,
        subjects=len(content.subjects),
        templates=len(content.templates),
        audit=_audit(session),
        recipient=recipient_of(header, content).hex(),
        decides=_decides(session.matcher),
        threshold=threshold,
        strangers=stored_rate_in_words(content) if knows_rate else None,
        evidence=evidence,
        evidence_renewal=renewal,
        transfer=transfer,
        own_scores=in_words(transfer),
        raised=raised,
        raised_threshold=None if raised is None else raised_in_words(raised),
        mixed_subjects=mixed,
        networks=None if session.matcher.networks is None else session.matcher.networks.words(),
        clock=clock,
        clock_behind_s=clock_behind_s,
        tries=_attempt_limit(attempts),
        has_policy=has_policy,
        has_attempt_limit=attempts is not None,
        pad=_is_pad_limit(attempts),
        failures=None if attempts is None else attempts.failures,
        locked_out=_locked_out(attempts),
        not_protected=gaps(session, attempts, transfer, raised, mixed),
    )


def gaps(
    session: Session,
    attempts: AttemptStatus | None,
    transfer: TransferCheck,
    raised: RaisedThreshold | None,
    mixed: tuple[str, ...],
) -> tuple[str, ...]:
    """Return the attacks that the gallery, with this key and anchor, does not protect against."""
    strength = strength_of_key(session.key, session.environment.path)
    result = [f"{_GUESSED}: {strength.weakness}" if strength.weakness else _KEY_GAPS[strength.level]]
    others = len(session.header.slots) - 1
    if others:
        result.append(
            f"{others} more key{'s open' if others > 1 else ' opens'} it: the gallery is only as strong as its weakest key"
        )
    other_types = {s.type for index, s in enumerate(session.header.slots) if index != session.slot_index}
    possible = [levels for slot_type in other_types if (levels := slot_kind(slot_type)[1])]
    result += [
        _KEY_GAPS[level] for level in sorted({levels[-1] for levels in possible}) if level < strength.level
    ]
    if any(len(levels) > 1 for levels in possible):
        result.append(
            "the strength of a passphrase is known only if the gallery is opened with it: another one may be weak"
        )
    anchor = session.environment.anchor
    if session.missing_anchor:
        result.append(
            "the gallery was opened without its anchor: an old copy that was put back is not noticed"
        )
    elif isinstance(anchor, NoAnchor):
        result.append("an old copy that is put back is not noticed: a revoked subject may be accepted again")
    elif not isinstance(anchor, TpmCounter):
        result.append("an old gallery that is put back together with its old anchor file is not noticed")
    networks = session.matcher.networks
    if networks is None or networks.detector is None:
        result.append("a replaced face detector is not noticed: pin it with edge-sdk gallery pin-networks")
    if networks is None or not networks.liveness:
        result.append(
            "no liveness networks are pinned: a recognizer may be opened without them, or with others"
        )
    if mixed:
        result.append(f"two people under one name: {mixed_in_words(mixed)}; {MIXED_ADVICE}")
    if transfer.unprotected:
        result.append(f"strangers: {in_words(transfer)}; {ADVICE}")
    elif session.matcher.policy is not None and transfer.state is TransferState.NOT_STORED:
        result.append("thresholds that do not hold for this camera and these people are not noticed")
    if raised is not None and raised.too_high:
        result.append(f"enrolled people: {raised_in_words(raised)}; {TOO_HIGH_ADVICE}")
    captures = captures_of(session.content)
    if captures is not None and captures.parts:
        result.append("faces in stored captures: whoever has their files and the private key sees them")
    if kept_of(session.content) is not None:
        result.append(
            "templates of the earlier model, which are kept until edge-sdk gallery migrate --confirm or --undo"
        )
    if attempts is None:
        result.append("failed attempts are not limited: limit them with edge-sdk gallery limit-attempts")
    if not session.content.audit.entries:
        result.append("no audit log is kept")
    result.append(
        "a photo or a screen in front of the camera is noticed only by liveness networks (--pad), not by the gallery"
    )
    return tuple(result)


def problems_of(session: Session, attempts: AttemptStatus | None) -> tuple[str, ...]:
    """Check an open gallery; see `Gallery.problems`."""
    content, path, files = session.content, session.environment.path, session.environment.files
    problems = []
    lengths = np.linalg.norm(content.matrix.astype(np.float64), axis=1) * content.scales
    wrong = int(np.count_nonzero(np.abs(lengths - 1) > _LENGTH_TOLERANCE))
    if wrong:
        problems.append(f"{wrong} templates do not have length 1 after scaling")
    thresholds = threshold_problem(content)
    if thresholds is not None:
        problems.append("; ".join(thresholds))
    mixed = mixed_subjects(content)
    if mixed:
        problems.append(f"{mixed_in_words(mixed)}; {MIXED_ADVICE}")
    clock, behind_s = _clock(session)
    if behind_s:
        problems.append(f"the clock is {clock}")
    if content.audit.entries:
        problems += session.audit_report().problems()
    for file in (path, audit_path(path), lock_path(path), counter_path(path)):
        mode = files.mode(file)
        if mode is not None and mode & 0o077:
            problems.append(f"{file} has mode {mode:04o}, expected 0600")
    if session.missing_anchor:
        problems.append(
            f"the gallery is anchored in {session.missing_anchor} and was opened without it: an old copy is not noticed"
        )
    problems += companion_problems(files, path, content)
    unclaimed = unclaimed_secrets(session, [session.key])
    if unclaimed:
        problems.append(unclaimed)
    if files.mode(tmp_path(path)) is not None:
        problems.append(f"{tmp_path(path)} was left by a crash; the next change removes it")
    if attempts is not None and attempts.refusal is Reason.COUNTER:
        problems.append(
            "the attempt counter is missing, altered or of another limit: every attempt is refused until it is reset"
        )
    return tuple(problems)


def _anchor(session: Session) -> str:
    if session.missing_anchor:
        return (
            f"not given (the gallery is anchored in {session.missing_anchor}; it gives no answers without it)"
        )
    return session.environment.anchor.kind


def _audit(session: Session) -> str:
    entries = session.content.audit.entries
    if not entries:
        return "off"
    answers = session.content.record(AUDIT_POLICY) == AUDIT_ANSWERS
    return f"{'changes and answers' if answers else 'changes'}, sealed up to entry {entries}"


def _clock(session: Session) -> tuple[str, int]:
    """Return the state of the clock in words, and the seconds by which it is behind."""
    try:
        time = session.time()
    except GalleryError as error:
        return str(error), 0
    if not time.behind_s:
        return "not behind the gallery", 0
    words = (
        f"{format_duration(time.behind_s)} behind the gallery: subjects whose validity ends are not accepted; set the"
        " clock, or, if the gallery's time is wrong, use edge-sdk gallery reset-clock"
    )
    return words, int(time.behind_s)


def _threshold(matcher: Matcher) -> float | None:
    thresholds = matcher.thresholds
    if thresholds is None or max(1, matcher.templates) > thresholds.policy.most_references():
        return None
    return thresholds.limit(matcher.templates)


def _decides(matcher: Matcher) -> str:
    policy, templates = matcher.policy, matcher.templates
    if policy is None:
        return "by a threshold from each caller: no policy is stored"
    most = policy.most_references()
    lower = (
        "; a caller may give a lower threshold, which is recorded" if matcher.allows_lower_thresholds else ""
    )
    rates = f"FPIR {policy.fpir:g}, margin {policy.margin:g}, retry band {policy.retry_band:g}; "
    evidence = f"the evidence covers up to {most} templates"
    limit = _threshold(matcher)
    if limit is None:
        return f"{rates}{evidence}: no subject is accepted{lower}"
    stated = policy.limit(templates)
    raised = f" (raised from {stated:.4f} for the gallery's own subjects)" if limit > stated else ""
    return f"{rates}threshold {limit:.4f}{raised}, {evidence}{lower}"


def _locked_out(attempts: AttemptStatus | None) -> str | None:
    if attempts is None or attempts.refusal is None:
        return None
    if attempts.refusal is Reason.WAIT:
        return f"wait: next attempt in {math.ceil(attempts.next_try_s)} s"
    return f"{attempts.refusal.value}: reset with edge-sdk gallery reset-attempts"


def _attempt_limit(attempts: AttemptStatus | None) -> str:
    if attempts is None:
        return "not limited"
    return f"wait of {attempts.wait_s} s after {attempts.free} failed attempts in a row, disabled after {attempts.most}"


def _is_pad_limit(attempts: AttemptStatus | None) -> bool:
    pad = AttemptPolicy.with_pad()
    return attempts is not None and (attempts.free, attempts.most) == (pad.free, pad.most)
