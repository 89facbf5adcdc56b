"""Changes of a gallery's settings: decision policy, limit on failed attempts, pinned networks, evidence; pure."""

from __future__ import annotations

from collections.abc import Callable

from edge_sdk.errors import InputError
from edge_sdk.gallery.attempt_counter import AttemptPolicy, pack_limit
from edge_sdk.gallery.format.content import (
    ATTEMPT_POLICY,
    CALLER_THRESHOLDS,
    CALLER_THRESHOLDS_ALLOWED,
    DECISION_POLICY,
    EVIDENCE,
    PINNED_NETWORKS,
    POLICY_EVIDENCE,
    Content,
    PolicyRecord,
)
from edge_sdk.gallery.format.header import ID_BYTES, MODEL_ID_BYTES
from edge_sdk.gallery.format.records import pack_policy_evidence
from edge_sdk.gallery.rules.pinned_networks import PinnedNetworks, pack_networks
from edge_sdk.gallery.rules.policy import DecisionPolicy, pack_policy
from edge_sdk.gallery.rules.thresholds import evidence_of


class SettingChanges:
    """The methods of `Transaction` that change settings; each checks its arguments at once.

    Args:
        content: The content before the changes.
        random: Returns n random bytes.
    """

    def __init__(self, content: Content, random: Callable[[int], bytes]) -> None:
        self._content = content
        self._random = random
        self._policy = {record.kind: record for record in content.policy}

    def pin_evidence(self, evidence: bytes) -> None:
        """Store the digest of the evidence in the model's card; thresholds are taken from a card with this evidence only.

        Args:
            evidence: `Embedder.model_id.evidence`, 32 bytes.

        Raises:
            InputError: it is not 32 bytes.
        """
        if not isinstance(evidence, bytes) or len(evidence) != MODEL_ID_BYTES:
            raise InputError(f"expected a digest of {MODEL_ID_BYTES} bytes, found {evidence!r}")
        self._policy[EVIDENCE] = PolicyRecord(EVIDENCE, critical=False, value=evidence)

    def set_policy(self, policy: DecisionPolicy | None) -> None:
        """Store the policy by which the gallery decides; None removes it, so each caller must give a threshold.

        If the policy adapts, the gallery computes its thresholds from the templates that are stored at the time. At the
        end of the transaction a `GalleryError` refuses a policy whose raised threshold would be 1, or would be reached by
        fewer than half of the subjects with several templates when these are compared with each other.

        Raises:
            InputError: the argument is not a policy.
            ModelCardError: the policy's evidence does not cover a gallery of this size.
        """
        if policy is not None and not isinstance(policy, DecisionPolicy):
            raise InputError(f"expected a DecisionPolicy or None, found {type(policy).__name__}")
        if policy is not None:
            policy.limit(len(self._content.templates))
        else:
            self._set_record(CALLER_THRESHOLDS, None)
        self._set_record(DECISION_POLICY, None if policy is None else pack_policy(policy))
        evidence = None if policy is None else pack_policy_evidence(evidence_of(policy))
        self._set_record(POLICY_EVIDENCE, evidence, critical=policy is not None and policy.adapts)

    def pin_networks(self, networks: PinnedNetworks | None) -> None:
        """Store the detector and liveness networks that a recognizer must use; None removes the requirement.

        Raises:
            InputError: the argument is not a `PinnedNetworks`.
        """
        if networks is not None and not isinstance(networks, PinnedNetworks):
            raise InputError(f"expected a PinnedNetworks or None, found {type(networks).__name__}")
        self._set_record(PINNED_NETWORKS, None if networks is None else pack_networks(networks))

    def limit_attempts(self, limit: AttemptPolicy | None) -> None:
        """Limit failed attempts and start a new counter at 0; None removes the limit.

        Raises:
            InputError: the argument is not a limit.
        """
        if limit is not None and not isinstance(limit, AttemptPolicy):
            raise InputError(f"expected an AttemptPolicy or None, found {type(limit).__name__}")
        self._set_record(ATTEMPT_POLICY, None if limit is None else pack_limit(limit, self._random(ID_BYTES)))

    def allow_lower_thresholds(self, allowed: bool) -> None:
        """Allow or forbid a caller to give a threshold below the policy's; each use is recorded in the audit log.

        Raises:
            InputError: the argument is not a bool, or lower thresholds are allowed and the gallery has no policy or
                keeps no audit log.
        """
        if not isinstance(allowed, bool):
            raise InputError(f"expected True or False, found {type(allowed).__name__}")
        if allowed and DECISION_POLICY not in self._policy:
            raise InputError(
                "expected a gallery with a decision policy, found none: each caller gives a threshold",
                hint="set a policy with edge-sdk gallery policy",
            )
        if allowed and not self._content.audit.entries:
            raise InputError(
                "expected a gallery with an audit log, found none: a lower threshold could not be recorded",
                hint="create a gallery with --audit changes or --audit all",
            )
        self._set_record(CALLER_THRESHOLDS, CALLER_THRESHOLDS_ALLOWED if allowed else None)

    def _record(self, kind: int) -> bytes | None:
        return self._policy[kind].value if kind in self._policy else None

    def _set_record(self, kind: int, value: bytes | None, *, critical: bool = True) -> None:
        self._policy.pop(kind, None)
        if value is not None:
            self._policy[kind] = PolicyRecord(kind, critical, value)
