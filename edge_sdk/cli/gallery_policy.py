"""``edge-sdk gallery policy|threshold|pin-networks|limit-attempts|reset-attempts|reset-clock``: rules of decisions."""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from edge_sdk.cli.arguments import (
    Output,
    add_gallery_command,
    add_model_arguments,
    add_pin_arguments,
    format_count,
)
from edge_sdk.cli.opening import open_gallery, pinned_networks
from edge_sdk.errors import GalleryError

if TYPE_CHECKING:
    from edge_sdk.gallery import DecisionPolicy
    from edge_sdk.model.operating_point import OperatingPoint


def add_commands(commands: Any) -> None:
    """Add `policy`, `threshold`, `pin-networks`, `limit-attempts`, `reset-attempts` and `reset-clock` to the group `gallery`."""
    add = partial(add_gallery_command, commands)
    policy = add(
        "policy",
        "store a decision policy, so that identify and verify need no threshold",
        _policy,
        "--model face.tflite --fpir 0.01",
        details="The threshold follows from the operating points in the model card and the number of templates. From 10 subjects on, the\n"
        "gallery compares its own subjects with each other and reports if the card's thresholds do not hold for them.",
    )
    add_model_arguments(policy, delegate=False)
    add_pin_arguments(policy, default="unchanged")
    policy.add_argument(
        "--fpir",
        type=float,
        required=True,
        metavar="RATE",
        help="false positive identification rate allowed for one search, above 0 and below 1",
    )
    policy.add_argument(
        "--margin",
        type=float,
        default=0.0,
        metavar="COSINE",
        help="required lead of the best score over the second-best subject's, 0..1; a smaller lead gets retry (default: 0)",
    )
    policy.add_argument(
        "--retry-band",
        type=float,
        metavar="COSINE",
        help="scores up to this far below the threshold get retry instead of rejected, 0..1 (default: 0.02)",
    )
    policy.add_argument(
        "--allow-lower-thresholds",
        action="store_true",
        help="accept --threshold, --fmr and --fpir of identify and verify that are below this policy's threshold, and record"
        " their use in the audit log (default: refuse them)",
    )
    policy.add_argument(
        "--adapt-threshold",
        action=argparse.BooleanOptionalAction,
        help="raise the threshold, from 10 subjects on, as far as the gallery's own subjects are more alike than those of the"
        " card; it is never lowered, and renewed at each change (default: unchanged, off in a new policy)",
    )
    threshold = add(
        "threshold", "set or remove a stricter threshold for one subject", _threshold, "alice 0.7"
    )
    threshold.add_argument("subject", help="name of an enrolled subject")
    value = threshold.add_mutually_exclusive_group(required=True)
    value.add_argument(
        "threshold",
        nargs="?",
        type=float,
        metavar="COSINE",
        help="cosine threshold, -1..1; it must be stricter than the policy's",
    )
    value.add_argument("--none", action="store_true", help="remove the subject's own threshold")
    pin = add(
        "pin-networks",
        "store which face detector and liveness networks must be used",
        _pin_networks,
        "--detector yunet.tflite --pad pad_2.7.tflite pad_4.0.tflite",
        details="Other files are then refused before they are parsed, and so is a recognizer without the liveness networks.\n"
        "Without an option the command prints what is pinned.",
    )
    add_pin_arguments(pin, default="unchanged")
    pin.add_argument("--none", action="store_true", help="remove the requirement")
    limit = add(
        "limit-attempts",
        "limit failed attempts: wait after 5 failures, lock after 50",
        _limit_attempts,
        details="After 5 failures in a row, each further attempt has to wait 30 s. gallery reset-attempts unlocks the gallery.\n"
        "A gallery that pins liveness networks, or that has the limits of --pad, gets those limits unless --no-pad is given.",
    )
    kinds = limit.add_mutually_exclusive_group()
    kinds.add_argument(
        "--pad",
        action="store_true",
        help="use the limits for devices with presentation attack detection: wait after 10 failures, lock after 100",
    )
    kinds.add_argument(
        "--no-pad",
        action="store_true",
        help="use the limits 5 and 50 also with presentation attack detection",
    )
    kinds.add_argument("--none", action="store_true", help="remove the limit")
    add("reset-attempts", "set the number of failed attempts to 0", _reset_attempts)
    clock = add(
        "reset-clock",
        "set the gallery's time to this device's clock, although the gallery knows a later time",
        _reset_clock,
        "--yes",
        details="Use it after a change was made with a clock that was wrongly ahead. Set the clock first: subjects who have expired by the\n"
        "gallery's time may become valid again. The audit log records it.",
    )
    clock.add_argument(
        "--yes", action="store_true", help="confirm; without it the command only reports both times"
    )


def _policy(arguments: argparse.Namespace) -> Output:
    from edge_sdk.gallery import DecisionPolicy
    from edge_sdk.gallery.rules.in_words import strangers_in_words
    from edge_sdk.model.model_file import ModelFile

    model = ModelFile.open(arguments.model, sha256=arguments.model_sha256)
    band = {} if arguments.retry_band is None else {"retry_band": arguments.retry_band}
    policy = DecisionPolicy(
        model.card.operating_points,
        fpir=arguments.fpir,
        margin=arguments.margin,
        non_mated_scores=model.card.non_mated_scores,
        adapts=bool(arguments.adapt_threshold),
        **band,
    )
    gallery = open_gallery(arguments, model.model_id)
    if arguments.adapt_threshold is None and gallery.policy is not None and gallery.policy.adapts:
        policy = replace(policy, adapts=True)
    networks = pinned_networks(arguments, gallery.networks)
    with gallery.transaction() as transaction:
        transaction.pin_networks(networks)
        transaction.set_policy(policy)
        transaction.pin_evidence(model.model_id.evidence)
        transaction.allow_lower_thresholds(arguments.allow_lower_thresholds)
    status = gallery.status()
    templates = status.templates
    point, largest = policy.point(templates), policy.most_references()
    threshold = point.threshold if status.threshold is None else status.threshold
    interval = point.fpir_interval(templates) if templates else None
    claimed = all(operating_point.fmr_confidence is not None for operating_point in policy.operating_points)
    meaning = strangers_in_words(policy.fpir, claimed=claimed)
    lines = [
        f"threshold {threshold:.4f} for {format_count(templates, 'template')};"
        f" the evidence suffices for up to {format_count(largest, 'template')}",
    ]
    if threshold > point.threshold:
        lines.append(f"raised from {point.threshold:.4f} for the gallery's own subjects")
    if interval is not None:
        low, high = (f"{100 * end:.2g} %" for end in interval)
        words = f"95 % confidence interval of the FPIR at the card's threshold: {low} to {high}"
        if point.subjects:
            words += f", from {point.subjects} people"
        if status.transfer.alarm:
            words += "; it holds for the card's people only, not here"
        lines.append(words)
    lines.append(f"operating points: {status.evidence}")
    if status.evidence_renewal is not None:
        lines.append(f"to renew them: {status.evidence_renewal}")
    if templates:
        lines += _stricter(policy, point, templates)
    lines.append(f"own subjects: {status.own_scores}")
    if status.raised_threshold is not None:
        lines.append(status.raised_threshold)
    if status.transfer.unprotected:
        meaning += "; it does not hold for this camera or these people"
    lines.append(meaning)
    if arguments.allow_lower_thresholds:
        lines.append("callers may now give lower thresholds; the audit log records their use")
    return Output(
        {
            "fpir": policy.fpir,
            "meaning": meaning,
            "fpir_interval": interval,
            "templates": templates,
            "threshold": threshold,
            "card_threshold": point.threshold,
            "adapts": policy.adapts,
            "evidence": status.evidence,
            "own_scores": status.own_scores,
            "raised_threshold": status.raised_threshold,
            "most_templates": largest,
            "lower_thresholds_allowed": arguments.allow_lower_thresholds,
        },
        "\n".join(lines),
    )


def _stricter(policy: DecisionPolicy, point: OperatingPoint, templates: int) -> list[str]:
    """Return a line if the card has no claim near the FMR that the FPIR needs, so that a stricter one is used."""
    from edge_sdk.model.operating_point import fmr_for_fpir

    needed = fmr_for_fpir(policy.fpir, templates)
    unit = 10.0 ** math.floor(math.log10(needed))
    claim = math.floor(needed / unit + 1e-9) * unit
    if claim < 1.5 * point.fmr_limit:
        return []
    fmrs = sorted({float(f"{claim:.0e}"), *(point.fmr for point in policy.operating_points)}, reverse=True)
    rates = ",".join(f"{fmr:g}" for fmr in fmrs)
    return [
        f"stricter than requested: FPIR at most {100 * point.fpir(templates):.2g} %, because the card's nearest claim"
        f" is FMR {point.fmr:g}; edge-convert evaluate --write-card --fmr {rates} would lower the threshold"
    ]


def _pin_networks(arguments: argparse.Namespace) -> Output:
    if arguments.none and (arguments.detector or arguments.pad):
        arguments.parser.error("give either --none, or --detector and --pad")
    gallery = open_gallery(arguments)
    networks = None if arguments.none else pinned_networks(arguments, gallery.networks)
    with gallery.transaction() as transaction:
        transaction.pin_networks(networks)
    value = {
        "detector": None if networks is None else networks.detector,
        "liveness": [] if networks is None else list(networks.liveness),
        "liveness_threshold": None if networks is None else networks.liveness_threshold,
    }
    return Output(value, f"pinned: {'nothing' if networks is None else networks.words()}")


def _threshold(arguments: argparse.Namespace) -> Output:
    subject, threshold = arguments.subject, None if arguments.none else arguments.threshold
    gallery = open_gallery(arguments)
    with gallery.transaction() as transaction:
        transaction.set_threshold(subject, threshold)
    text = "no threshold of its own" if threshold is None else f"threshold {threshold:g}"
    return Output({"subject": subject, "threshold": threshold}, f"{subject}: {text}")


def _limit_attempts(arguments: argparse.Namespace) -> Output:
    from edge_sdk.gallery import AttemptPolicy
    from edge_sdk.gallery.rules.in_words import attempts_in_words

    gallery = open_gallery(arguments)
    if arguments.none:
        limit = None
    elif arguments.pad:
        limit = AttemptPolicy.with_pad()
    else:
        limit = AttemptPolicy() if arguments.no_pad else gallery.attempts.usual()
    gallery.attempts.limit(limit)
    limits = gallery.status().tries
    if limit is None:
        return Output({"tries": limits, "meaning": None}, f"attempts: {limits}")
    meaning = attempts_in_words(limit.free, limit.most, limit.wait_s)
    return Output({"tries": limits, "meaning": meaning}, f"attempts: {limits}\n{meaning}")


def _reset_attempts(arguments: argparse.Namespace) -> Output:
    open_gallery(arguments).attempts.reset()
    return Output({"failures": 0}, "failed attempts: 0")


def _reset_clock(arguments: argparse.Namespace) -> Output:
    from edge_sdk.gallery.rules.known_time import format_duration, format_time

    gallery = open_gallery(arguments)
    before = gallery.time()
    if not arguments.yes:
        raise GalleryError(
            f"this would set the gallery's time from {format_time(int(before.now_s))} back by"
            f" {format_duration(before.behind_s)}: subjects who have expired since may become valid again",
            hint="check this device's clock with date; confirm with --yes",
        )
    gallery.reset_clock()
    after = gallery.time()
    times = format_time(int(before.now_s)), format_time(int(after.now_s))
    return Output(
        {"from_s": int(before.now_s), "to_s": int(after.now_s)},
        f"the gallery's time was {times[0]}, is {times[1]}",
    )
