"""Results of a gallery: frozen values. A negative answer is a result, not an exception; no result has a score."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_sdk.gallery.format.key_names import KeyRole
from edge_sdk.gallery.rules.raised_threshold import RaisedThreshold
from edge_sdk.gallery.rules.transfer import TransferCheck


class Decision(enum.Enum):
    """The decision on a probe."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    RETRY = "retry"
    LOCKED_OUT = "locked_out"


class Reason(enum.Enum):
    """The reason for the decision retry or locked out."""

    CLOSE = "close"  # just under the threshold: a better capture may be accepted
    AMBIGUOUS = "ambiguous"  # two subjects have similar scores: a better capture may distinguish them
    WAIT = "wait"  # too many failed attempts: wait before the next one
    DISABLED = "disabled"  # far too many failed attempts: an administrator must reset the counter
    COUNTER = "counter"  # the attempt counter is missing or not valid: an administrator must reset it


@dataclass(frozen=True)
class Answer:
    """Base of the results that carry a decision on a probe."""

    decision: Decision

    @property
    def accepted(self) -> bool:
        """True if the decision is `Decision.ACCEPTED`."""
        return self.decision is Decision.ACCEPTED


@dataclass(frozen=True)
class Identification(Answer):
    """The result of an identification (1:N).

    Attributes:
        decision: The decision.
        subject: Name of the accepted subject, otherwise None.
        reason: The reason if the decision is retry or locked out, otherwise None.
    """

    subject: str | None
    reason: Reason | None = None


@dataclass(frozen=True)
class Verification(Answer):
    """The result of a verification (1:1).

    Attributes:
        decision: The decision.
        subject: Name of the claimed subject.
        reason: The reason if the decision is retry or locked out, otherwise None.
    """

    subject: str
    reason: Reason | None = None


@dataclass(frozen=True)
class AttemptStatus:
    """The state of the attempt counter.

    Attributes:
        free: Failed attempts in a row after which each further attempt has to wait.
        most: Failed attempts in a row after which an administrator must reset the counter.
        wait_s: Length of a wait, seconds.
        failures: Failed attempts in a row; None if the counter is missing or not valid.
        next_try_s: Time until the next attempt is allowed, seconds; 0 if it is allowed now.
        refusal: Reason to refuse an attempt now; None if it may be made.
    """

    free: int
    most: int
    wait_s: int
    failures: int | None
    next_try_s: float
    refusal: Reason | None


@dataclass(frozen=True)
class SubjectLook:
    """Templates that were added to a subject after its enrolment, such as with glasses.

    Attributes:
        id: Random id, 16 hexadecimal digits; the audit log has it.
        name: Name, unique for the subject.
        templates: Number of templates.
        added_at_s: Time of the addition, Unix seconds.
    """

    id: str
    name: str
    templates: int
    added_at_s: int


@dataclass(frozen=True)
class Subject:
    """One enrolled subject, without its templates.

    Attributes:
        name: Unique name.
        label: Text for display, may be empty.
        templates: Number of templates.
        valid_from_s: Start of validity, Unix seconds, 0 for no bound.
        valid_until_s: End of validity, Unix seconds, 0 for no bound.
        enrolled_at_s: Time of enrolment, Unix seconds.
        revoked: Enrolled but never accepted.
        id: Random id, 32 hexadecimal digits, for records that must not contain a name.
        threshold: Own threshold of the subject, a cosine, used if above the gallery's threshold; None if not set.
        looks: Templates that were added after the enrolment, in order of addition; `templates` counts them too.
    """

    name: str
    label: str
    templates: int
    valid_from_s: int
    valid_until_s: int
    enrolled_at_s: int
    revoked: bool
    id: str
    threshold: float | None = None
    looks: tuple[SubjectLook, ...] = ()


@dataclass(frozen=True)
class KeySlot:
    """A key slot: one way to open a gallery.

    Attributes:
        index: Number of the slot.
        type: Kind of key, as numbered in the gallery format.
        name: Name of that kind.
        level: Strength of the key, 0..4; None if only the key itself shows it, as with a passphrase that is not in use.
        in_use: True if the gallery was opened through this slot.
        levels: Possible levels, ascending: the level if it is known; empty if nothing is known.
        given_name: Name that an administrator gave the key; empty without one.
        role: Purpose of the key, as an administrator stated it; it neither strengthens nor weakens the key.
    """

    index: int
    type: int
    name: str
    level: int | None
    in_use: bool
    levels: tuple[int, ...] = ()
    given_name: str = ""
    role: KeyRole = KeyRole.NONE

    @property
    def level_words(self) -> str:
        """The possible levels in words, such as `2`, `0, 1 or 2` or `not known`."""
        *others, last = (str(level) for level in self.levels) if self.levels else ("not known",)
        return f"{', '.join(others)} or {last}" if others else last

    @property
    def level_explanation(self) -> str | None:
        """Reason why the level is not known, in words; None if it is known."""
        if self.level is not None:
            return None
        return f"the level of this key ({self.name}) is known only if the gallery is opened with it"


@dataclass(frozen=True)
class AddedKey:
    """The result of adding a key.

    Attributes:
        slot: The new slot.
        weakness: Reason for a lower level than is usual for the kind of key, such as a short passphrase; otherwise None.
        weaker: Slots that certainly have a lower level than the new one. Each of them still opens the gallery, so the new key protects
            nothing until they are removed (`Keys.remove`, `Keys.rotate`).
    """

    slot: KeySlot
    weakness: str | None
    weaker: tuple[KeySlot, ...]


@dataclass(frozen=True)
class ErasureReceipt:
    """The receipt of an erasure.

    Attributes:
        subjects: Random ids of the erased subjects, 32 hexadecimal digits each; empty if more than 64 were erased.
        count: Number of erased subjects.
        generation: The first generation without them.
        key_epoch: Key epoch of that generation.
        erased_at_s: Time of the erasure, Unix seconds.
        provable: True if no existing key opens an older copy.
        statement: Explanation of `provable` in words.
    """

    subjects: tuple[str, ...]
    count: int
    generation: int
    key_epoch: int
    erased_at_s: int
    provable: bool
    statement: str


class References(NamedTuple):
    """The stored templates, read-only, in the gallery's transformed space.

    Attributes:
        matrix: Shape (M, D), int8 or float16; only the directions of the rows matter.
        subject_indices: Shape (M,), uint32, indices into `Gallery.subjects()`.
    """

    matrix: NDArray[Any]
    subject_indices: NDArray[np.uint32]


@dataclass(frozen=True)
class GalleryStatus:
    """The strength of a gallery's protection, and its size.

    Attributes:
        path: The gallery file.
        gallery_id: 32 hexadecimal digits.
        model_id: Id of the model, 64 hexadecimal digits.
        model_kind: What `model_id` is: `embedding space` (digest of network and input contract), or `model file` (SHA-256
            of the file, or the bytes that a program gave).
        key_level: Strength of the key in use, 0..4.
        key_name: Kind of the key in use.
        key_weakness: Reason for a lower level than is usual for this kind of key, in words; otherwise None.
        key_slots: Number of keys that open the gallery.
        key_epoch: Number of the key epoch, from 1; a rotation or removal of keys starts the next one.
        anchor: Kind and strength of the anchor.
        generation: Number of the last commit.
        state: The generation and a digest that cannot be foreseen; a back office signs a command for it.
        suite: Cipher.
        transform: Transform of the stored templates.
        dtype: Type of the stored templates.
        dimension: Numbers per template.
        subjects: Number of subjects.
        templates: Number of templates.
        audit: Content of the audit log and the number of sealed entries.
        recipient: The gallery's public key for exports of other galleries, 64 hexadecimal digits.
        decides: The decision rule that applies if no threshold is given, in words.
        threshold: Threshold of a search among all templates, a cosine; None without a policy, or if its evidence does not
            cover this many templates.
        strangers: How many of 100 strangers who press the button once are accepted, in words; None without a policy, if
            its evidence does not cover this many templates, or if its thresholds do not hold for these subjects.
        evidence: How the policy's FMRs are claimed, in words; None without a policy.
        evidence_renewal: Commands that renew evidence of an earlier version; None if that is not necessary.
        transfer: Comparison of the scores of the gallery's own subjects with those of the card.
        own_scores: The same in words.
        raised: The raised threshold of a search among all templates, and how many subjects still match themselves at
            it; None if the card's threshold is not raised.
        raised_threshold: The same in words; None if the card's threshold is not raised.
        mixed_subjects: Names of subjects whose templates may show more than one person; see `gallery verify`.
        networks: The pinned detector and liveness networks, in words; None if they are not pinned.
        clock: Difference between the device's clock and the gallery's time, in words.
        clock_behind_s: Seconds by which the clock is behind the gallery's time; 0 if not more than a minute.
        tries: The limit on failed attempts, in words.
        has_policy: True if a decision policy is sealed.
        has_attempt_limit: True if failed attempts are limited.
        pad: True if `tries` is the limit for devices with presentation attack detection; the gallery cannot know if
            the device has it.
        failures: Failed attempts in a row; None if attempts are not limited or the counter is not valid.
        locked_out: The reason why attempts are refused now, in words; None if they are allowed.
        not_protected: Attacks that the gallery, with this key and anchor, does not protect against, in words.
    """

    path: str
    gallery_id: str
    model_id: str
    model_kind: str
    key_level: int
    key_name: str
    key_weakness: str | None
    key_slots: int
    key_epoch: int
    anchor: str
    generation: int
    state: str
    suite: str
    transform: str
    dtype: str
    dimension: int
    subjects: int
    templates: int
    audit: str
    recipient: str
    decides: str
    threshold: float | None
    strangers: str | None
    evidence: str | None
    evidence_renewal: str | None
    transfer: TransferCheck
    own_scores: str
    raised: RaisedThreshold | None
    raised_threshold: str | None
    mixed_subjects: tuple[str, ...]
    networks: str | None
    clock: str
    clock_behind_s: int
    tries: str
    has_policy: bool
    has_attempt_limit: bool
    pad: bool
    failures: int | None
    locked_out: str | None
    not_protected: tuple[str, ...]
