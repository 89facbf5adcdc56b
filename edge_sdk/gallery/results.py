"""What a gallery answers: frozen values, a negative answer among them; never a score."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Decision(enum.Enum):
    """What a gallery answers."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    RETRY = "retry"
    LOCKED_OUT = "locked_out"


class Reason(enum.Enum):
    """Why an answer is retry or locked out."""

    CLOSE = "close"  # just under the threshold: a better capture may do
    AMBIGUOUS = "ambiguous"  # two subjects are about as alike: a better capture may tell them apart
    WAIT = "wait"  # too many failures: not before the wait is over
    DISABLED = "disabled"  # far too many failures: not before an administrator acts
    COUNTER = "counter"  # the counter of failures is missing or not the right one: the same


@dataclass(frozen=True)
class Identification:
    """Answer to 1:N: who it is, where accepted.

    Attributes:
        decision: Accepted or not.
        subject: The subject's name where accepted, else None.
        reason: Why, where the decision is retry or locked out.
    """

    decision: Decision
    subject: str | None
    reason: Reason | None = None

    @property
    def accepted(self) -> bool:
        """Whether the decision is `Decision.ACCEPTED`."""
        return self.decision is Decision.ACCEPTED


@dataclass(frozen=True)
class Verification:
    """Answer to 1:1.

    Attributes:
        decision: Accepted or not.
        subject: The subject that was claimed.
        reason: As `Identification`.
    """

    decision: Decision
    subject: str
    reason: Reason | None = None

    @property
    def accepted(self) -> bool:
        """Whether the decision is `Decision.ACCEPTED`."""
        return self.decision is Decision.ACCEPTED


@dataclass(frozen=True)
class AttemptStatus:
    """Where the count of failures stands.

    Attributes:
        free: Failures before waits begin.
        most: Failures before an administrator must act.
        wait_s: Length of a wait, seconds.
        failures: In a row so far; None where the counter cannot be believed.
        next_try_s: Seconds before the next try, 0 for now.
        refusal: Why there can be no try now, None where there can.
    """

    free: int
    most: int
    wait_s: int
    failures: int | None
    next_try_s: float
    refusal: Reason | None


@dataclass(frozen=True)
class Subject:
    """One enrolled subject, without its templates.

    Attributes:
        name: Unique name.
        label: For display, may be empty.
        templates: How many.
        valid_from_s: Unix seconds, 0 for no bound.
        valid_until_s: Unix seconds, 0 for no bound.
        enrolled_at_s: Unix seconds.
        revoked: Kept, but never accepted.
        id: 32 hexadecimal digits, random, for records that must not carry a name.
        threshold: A cosine of its own, which counts where it is above the gallery's; None for none.
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


@dataclass(frozen=True)
class KeySlot:
    """One way to open a gallery.

    Attributes:
        index: Its number.
        type: Its kind, as in docs/reference/gallery-format.md.
        name: What a person calls that kind.
        level: Its strength, 0..4; None where the kind does not say.
        in_use: Whether the gallery was opened through it.
    """

    index: int
    type: int
    name: str
    level: int | None
    in_use: bool


@dataclass(frozen=True)
class ErasureReceipt:
    """What an erasure came to.

    Attributes:
        subjects: The random ids of those erased, 32 hexadecimal digits each; none where there were over 64.
        count: How many were erased.
        generation: The first one without them.
        key_epoch: Of that generation.
        erased_at_s: Unix seconds.
        provable: Whether no key that exists opens a copy from before.
        statement: The same in words.
    """

    subjects: tuple[str, ...]
    count: int
    generation: int
    key_epoch: int
    erased_at_s: int
    provable: bool
    statement: str


class References(NamedTuple):
    """The stored templates, read-only, in the gallery's own transformed space.

    Attributes:
        matrix: Shape (M, D), int8 or float16; only the rows' directions matter.
        subject_indices: Shape (M,), uint32, indices into `Gallery.subjects()`.
    """

    matrix: NDArray[Any]
    subject_indices: NDArray[np.uint32]


@dataclass(frozen=True)
class GalleryStatus:
    """How strong and how full a gallery is.

    Attributes:
        path: The file.
        gallery_id: 32 hexadecimal digits.
        model_id: 64 hexadecimal digits, SHA-256 of the model file.
        key_level: 0..4, how strong the key is that opened it.
        key_name: Which kind of key that was.
        key_slots: How many keys open it.
        key_epoch: Counts key rotations, from 1.
        anchor: Kind of anchor and how far to believe it.
        generation: Counts commits, from 1.
        suite: Cipher.
        transform: What is applied to embeddings.
        dtype: How templates are stored.
        dimension: Numbers per template.
        subjects: How many.
        templates: How many.
        audit: What the audit log keeps, and how many entries are sealed.
        recipient: 64 hexadecimal digits, the public key to which another gallery exports.
        decides: How identify and verify decide where no threshold is brought, in words.
        tries: The limit on failed tries, in words.
        pad: Whether that limit is the one for a device with presentation attack detection; none is seen from here.
        failures: Failed tries in a row so far; None where they are not counted, or the counter cannot be believed.
        locked_out: Why nobody may try now, in words; None where somebody may.
        not_protected: What the gallery, kept like this, does not protect from, in words.
    """

    path: str
    gallery_id: str
    model_id: str
    key_level: int
    key_name: str
    key_slots: int
    key_epoch: int
    anchor: str
    generation: int
    suite: str
    transform: str
    dtype: str
    dimension: int
    subjects: int
    templates: int
    audit: str
    recipient: str
    decides: str
    tries: str
    pad: bool
    failures: int | None
    locked_out: str | None
    not_protected: tuple[str, ...]
