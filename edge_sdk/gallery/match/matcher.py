"""Identify and verify probes against the content of an open gallery; pure.

Results have a decision and a subject, never a score, because 192 scores are enough to reconstruct a usable template.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import GalleryFormatError, InputError, ModelCardError
from edge_sdk.gallery.format import sealing
from edge_sdk.gallery.format.content import (
    CALLER_THRESHOLDS,
    CALLER_THRESHOLDS_ALLOWED,
    OWN_THRESHOLDS,
    PINNED_NETWORKS,
    TRANSFORM_KEY,
    Content,
    ids_of,
)
from edge_sdk.gallery.format.header import Header, Transform
from edge_sdk.gallery.match.kernels import Probe
from edge_sdk.gallery.match.search import Search
from edge_sdk.gallery.match.templates import unit_rows
from edge_sdk.gallery.match.transform import LABEL, Shp3
from edge_sdk.gallery.results import Decision, Identification, References, Verification
from edge_sdk.gallery.rules.eligibility import Eligibility
from edge_sdk.gallery.rules.enrolment import EnrolmentChecks
from edge_sdk.gallery.rules.known_time import KnownTime
from edge_sdk.gallery.rules.names import normalized
from edge_sdk.gallery.rules.pinned_networks import PinnedNetworks, parse_networks
from edge_sdk.gallery.rules.policy import (
    BelowPolicyError,
    DecisionPolicy,
    Limit,
    decide,
    parse_own_thresholds,
)
from edge_sdk.gallery.rules.real_numbers import checked_threshold
from edge_sdk.gallery.rules.thresholds import Thresholds, stored_policy
from edge_sdk.gallery.subjects import unknown_subject
from edge_sdk.types import Float64Array


class Matcher:
    """Compares probes with the references of one generation of a gallery.

    Args:
        header: The gallery's header.
        content: Its content.

    Raises:
        GalleryFormatError: a policy record is malformed.
    """

    def __init__(self, header: Header, content: Content) -> None:
        self._dimension = header.dimension
        self._content = content
        self._index = dict(zip(content.names, range(len(content.names)), strict=True))
        rotation = rotation_of(header, content)
        #: Transforms unit embeddings, shape (n, D), to the space of the gallery's templates.
        self.to_template_space: Callable[[Float64Array], Float64Array] = (
            (lambda rows: rows) if rotation is None else rotation.apply
        )
        self.policy: DecisionPolicy | None = stored_policy(content.record)
        #: True if a caller may give a threshold below the policy's.
        self.allows_lower_thresholds = content.record(CALLER_THRESHOLDS) == CALLER_THRESHOLDS_ALLOWED
        record = content.record(PINNED_NETWORKS)
        self.networks: PinnedNetworks | None = None if record is None else parse_networks(record)
        self._own = _own_thresholds(content)
        self._thresholds: Thresholds | None = None
        self._search: Search | None = None
        self._eligibility: Eligibility | None = None

    @property
    def templates(self) -> int:
        """Number of stored templates."""
        return len(self._content.templates)

    @property
    def search(self) -> Search:
        """The stored templates, prepared for search at the first use."""
        if self._search is None:
            owners = self._content.templates["subject"]
            self._search = Search(self._content.matrix, self._content.scales, owners)
        return self._search

    @property
    def thresholds(self) -> Thresholds | None:
        """The thresholds of the policy for the stored subjects, computed at the first use; None without a policy."""
        if self._thresholds is None and self.policy is not None:
            self._thresholds = Thresholds.of(self._content)
        return self._thresholds

    def probe(self, embedding: NDArray[np.float32]) -> Probe:
        """Check, transform and quantize an embedding for comparison; see `transform_probe` for errors."""
        return Probe.of(self.transform_probe(embedding))

    def known(self, subject: str) -> str:
        """Return the name of a subject as it is stored.

        Raises:
            InputError: the name is not a string.
            SubjectUnknownError: the subject is not enrolled.
        """
        name = normalized(subject)
        if name not in self._index:
            raise unknown_subject(name)
        return name

    def enrolment_checks(self) -> EnrolmentChecks | None:
        """Return the checks for a new subject; None without a policy, whose thresholds they use."""
        if self.thresholds is None:
            return None
        return EnrolmentChecks(self.thresholds, self.search, self._content.names)

    def limit(self, threshold: float | None, *, subject: str | None = None) -> Limit:
        """Return the caller's threshold if it is stricter than the policy's, otherwise the policy's.

        The policy's threshold is that for the number of templates compared.

        Args:
            threshold: The caller's threshold, a cosine; None for the policy's.
            subject: The subject that is verified (1:1); None for an identification (1:N).

        Raises:
            InputError: there is neither a threshold nor a policy, the threshold is not a cosine, or it is below the
                policy's and the gallery does not allow that.
            ModelCardError: the policy's evidence does not cover this many templates.
        """
        given = None if threshold is None else checked_threshold(threshold)
        if self.thresholds is None:
            if given is None:
                raise InputError(
                    "expected a threshold: the gallery holds no decision policy",
                    hint="set a policy with edge-sdk gallery policy, or give a threshold",
                )
            return Limit(given)
        try:
            policy_threshold = self.thresholds.limit(self._templates_compared(subject))
        except ModelCardError:
            if given is None or not self.allows_lower_thresholds:
                raise
            return Limit(given, math.nan)
        if given is None:
            return Limit(policy_threshold)
        if given >= policy_threshold:
            return Limit(given)
        if not self.allows_lower_thresholds:
            raise BelowPolicyError(
                given,
                policy_threshold,
                hint="leave the threshold out, or give a stricter one; an administrator changes the policy with edge-sdk"
                " gallery policy, or allows lower thresholds with --allow-lower-thresholds",
            )
        return Limit(given, policy_threshold)

    def identify(self, probe: Probe, *, limit: float, time: KnownTime) -> Identification:
        """Identify a probe among all subjects (1:N).

        Args:
            probe: Result of `probe`.
            limit: Threshold of the result of `limit`.
            time: Time at which subjects must be valid.
        """
        margin, band = self._margin_and_band()
        leaders = self.search.leaders(
            probe, floor=limit - band, gap=margin, excluded_rows=self._eligible_at(time).excluded_rows
        )
        decision, reason = decide(leaders, limit=limit, own=self._own, margin=margin, retry_band=band)
        accepted = decision is Decision.ACCEPTED
        return Identification(decision, self._content.names[leaders[0].subject] if accepted else None, reason)

    def verify(self, probe: Probe, name: str, *, limit: float, time: KnownTime) -> Verification:
        """Verify that a probe is one subject (1:1).

        Args:
            probe: Result of `probe`.
            name: Result of `known`.
            limit: Threshold of the result of `limit`.
            time: Time at which the subject must be valid.
        """
        index = self._index[name]
        claimed = np.zeros(len(self._content.subjects), dtype=bool)
        claimed[index] = self._eligible_at(time).subjects[index]
        leaders = self.search.scores(probe, claimed)
        band = self._margin_and_band()[1]
        decision, reason = decide(leaders, limit=limit, own=self._own, retry_band=band)
        return Verification(decision, name, reason)

    def references(self) -> References:
        """Return the stored templates; see `Gallery.references`."""
        return References(self._content.matrix, self._content.templates["subject"])

    def transform_probe(self, embedding: NDArray[np.float32]) -> Float64Array:
        """Transform a probe to the space of `references`; see `Gallery.transform_probe`."""
        is_row = isinstance(embedding, np.ndarray) and embedding.ndim == 1
        rows = unit_rows(embedding[np.newaxis] if is_row else embedding, self._dimension)
        if len(rows) != 1:
            raise InputError(f"expected one embedding of shape ({self._dimension},), found {embedding.shape}")
        probe: Float64Array = self.to_template_space(rows)[0]
        return probe

    def _templates_compared(self, subject: str | None) -> int:
        owners = self._content.templates["subject"]
        return len(owners) if subject is None else int(np.count_nonzero(owners == self._index[subject]))

    def _eligible_at(self, time: KnownTime) -> Eligibility:
        if self._eligibility is None or not self._eligibility.holds(time):
            self._eligibility = Eligibility.at(self._content, time)
        return self._eligibility

    def _margin_and_band(self) -> tuple[float, float]:
        return (0.0, 0.0) if self.policy is None else (self.policy.margin, self.policy.retry_band)


def transform_key_of(header: Header, content: Content) -> bytes | None:
    """Return the key of a gallery's transform, 32 bytes; None if it has no transform.

    Raises:
        GalleryFormatError: the sealed transform key has a wrong length.
    """
    if header.transform is Transform.NONE:
        return None
    key = content.record(TRANSFORM_KEY)
    if key is None:
        return sealing.hkdf(content.root_secret, salt=header.gallery_id, info=LABEL)
    if len(key) != sealing.KEY_BYTES:
        raise GalleryFormatError(f"the transform key has {len(key)} bytes, expected {sealing.KEY_BYTES}")
    return key


def rotation_of(header: Header, content: Content) -> Shp3 | None:
    """Return the rotation that transforms a gallery's templates; None if it has no transform.

    Raises:
        GalleryFormatError: see `transform_key_of`.
    """
    key = transform_key_of(header, content)
    return None if key is None else Shp3.from_key(key, header.dimension)


def _own_thresholds(content: Content) -> dict[int, float]:
    own = parse_own_thresholds(content.record(OWN_THRESHOLDS) or b"")
    if not own:
        return {}
    return {index: own[subject] for index, subject in enumerate(ids_of(content.subjects)) if subject in own}
