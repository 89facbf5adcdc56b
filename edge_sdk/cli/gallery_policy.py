"""How a gallery decides and how many tries there are: ``edge-sdk gallery policy|threshold|limit-attempts|reset-attempts``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from edge_sdk.cli.arguments import add_command, add_gallery_arguments, counted, open_gallery, tell

_FILES = "--gallery home.gallery --key home.key"


def add_commands(rooms: Any) -> None:
    """Add the commands to the group `gallery`."""
    policy = add_command(
        rooms,
        "policy",
        "store how the gallery decides, so that identify and verify need no threshold",
        _policy,
        example=f"gallery policy --model face.tflite --fpir 0.01 {_FILES}",
    )
    policy.add_argument("--model", type=Path, required=True, help="its card holds the evidence")
    policy.add_argument("--model-sha256", help="the digest it must have; checked before it is parsed")
    policy.add_argument(
        "--fpir", type=float, required=True, help="how often a stranger may be taken for somebody in one try"
    )
    policy.add_argument(
        "--margin", type=float, default=0.0, help="lead over the next subject, a cosine; 0 asks for none"
    )
    policy.add_argument(
        "--retry-band",
        type=float,
        default=None,
        help="how far under the threshold the answer is retry, a cosine; 0.02 by default",
    )
    threshold = add_command(
        rooms,
        "threshold",
        "ask more of one subject than the gallery asks of all, such as of who may open the safe",
        _threshold,
        example=f"gallery threshold alice 0.7 {_FILES}",
    )
    threshold.add_argument("subject", help="who")
    asked = threshold.add_mutually_exclusive_group(required=True)
    asked.add_argument(
        "threshold",
        nargs="?",
        type=float,
        metavar="COSINE",
        help="-1..1; it counts where it is above the gallery's own",
    )
    asked.add_argument("--none", action="store_true", help="ask of this subject what is asked of all")
    limit = add_command(
        rooms,
        "limit-attempts",
        "count failures from now on: 5, then 30 s before each try, none after 50",
        _limit_attempts,
        example=f"gallery limit-attempts {_FILES}",
    )
    kinds = limit.add_mutually_exclusive_group()
    kinds.add_argument(
        "--pad", action="store_true", help="10 and 100: presentation attack detection is in place"
    )
    kinds.add_argument("--none", action="store_true", help="count no more")
    reset = add_command(
        rooms,
        "reset-attempts",
        "let tries be made again after too many failures",
        _reset_attempts,
        example=f"gallery reset-attempts {_FILES}",
    )
    for parser in (policy, threshold, limit, reset):
        add_gallery_arguments(parser)


def _policy(arguments: argparse.Namespace) -> int:
    from edge_sdk.gallery import DecisionPolicy
    from edge_sdk.model.model_file import ModelFile

    model = ModelFile.open(arguments.model, sha256=arguments.model_sha256)
    band = {} if arguments.retry_band is None else {"retry_band": arguments.retry_band}
    policy = DecisionPolicy(model.card.operating_points, fpir=arguments.fpir, margin=arguments.margin, **band)
    gallery = open_gallery(arguments, model.model_id)
    with gallery.transaction() as t:
        t.set_policy(policy)
    templates = gallery.status().templates
    point, largest = policy.point(templates), policy.most_references()
    measured = point.fpir_interval(max(1, templates))
    found = {
        "fpir": policy.fpir,
        "fpir_interval": measured,
        "templates": templates,
        "threshold": point.threshold,
        "most_templates": largest,
    }
    text = f"threshold {point.threshold:.4f} for {counted(templates, 'template')}; the evidence reaches to {largest}"
    if measured is not None:
        low, high = (f"{100 * end:.2g} %" for end in measured)
        text += f"\nFPIR {low} to {high} by the 95 % interval of what was measured"
        text += f": wish for less than {policy.fpir:g}, or measure with more people" * (
            measured[1] > policy.fpir
        )
    tell(arguments, found, text)
    return 0


def _threshold(arguments: argparse.Namespace) -> int:
    subject, threshold = arguments.subject, None if arguments.none else arguments.threshold
    gallery = open_gallery(arguments, None)
    with gallery.transaction() as t:
        t.set_threshold(subject, threshold)
    said = "nothing of its own" if threshold is None else f"at least {threshold:g}"
    tell(arguments, {"subject": subject, "threshold": threshold}, f"{subject}: {said}")
    return 0


def _limit_attempts(arguments: argparse.Namespace) -> int:
    from edge_sdk.gallery import AttemptPolicy

    limit = None if arguments.none else AttemptPolicy.with_pad() if arguments.pad else AttemptPolicy()
    gallery = open_gallery(arguments, None)
    with gallery.transaction() as t:
        t.limit_attempts(limit)
    tries = gallery.status().tries
    tell(arguments, {"tries": tries}, f"tries: {tries}")
    return 0


def _reset_attempts(arguments: argparse.Namespace) -> int:
    open_gallery(arguments, None).reset_attempts()
    tell(arguments, {"failures": 0}, "failures are counted anew")
    return 0
