"""``edge-sdk setup``: install a kit on this computer."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_sdk import console
from edge_sdk.cli.arguments import CAMERA_HELP, KEY_HELP, PROGRAM, Output, add_command
from edge_sdk.cli.doctor import examine, format_results
from edge_sdk.cli.opening import read_passphrase
from edge_sdk.errors import InputError
from edge_sdk.escaping import escaped, escaped_line

if TYPE_CHECKING:
    from edge_sdk.diagnostics.doctor import CheckResult
    from edge_sdk.door.licences import LicenceTerms
    from edge_sdk.door.setup import SetupResult

_DETAILS = """\
Check every file of the kit, show the licences, and write the networks, a key, a gallery and its anchor into one folder.
Other commands then take from this folder what is not named. With --door the gallery also gets a decision policy and a limit
of failed attempts, as a lock needs them; without it a program or an option such as --fpir gives the threshold.
Then run doctor; the exit code is 1 if one of its checks fails, or if the licences are not accepted.

Running setup again keeps the key, the gallery and everybody in it. A kit with the same network and new evidence renews the
networks and the policy. A kit with another network is refused as long as the gallery holds people's templates of
the earlier one: edge-sdk gallery migrate changes them."""


def add_commands(commands: Any) -> None:
    """Add the command `setup`."""
    setup = add_command(
        commands,
        "setup",
        "install a kit made by edge-convert kit",
        _setup,
        details=_DETAILS,
        example="setup face.edgekit --door --camera pi",
    )
    setup.add_argument("kit", type=Path, metavar="KIT", help="kit (.edgekit)")
    setup.add_argument(
        "--door",
        action="store_true",
        help="store the decision policy and the limit of failed attempts that a door lock needs",
    )
    setup.add_argument(
        "--installation",
        type=Path,
        metavar="DIR",
        help="folder to install into (default: EDGE_SDK_INSTALLATION in the environment, or ~/.local/share/edge-sdk/door)",
    )
    setup.add_argument(
        "--accept-licences",
        action="store_true",
        help="accept the licences of the networks, which are printed (default: ask on the terminal)",
    )
    setup.add_argument(
        "--fpir",
        type=float,
        metavar="RATE",
        help="share of strangers who are accepted at one press of the button, above 0 and below 1 (default: the stored one,"
        " or the kit's)",
    )
    setup.add_argument(
        "--camera",
        metavar="SOURCE",
        help=f"camera: {CAMERA_HELP} (default: the stored one, or the one that this computer has)",
    )
    setup.add_argument(
        "--rotate",
        type=int,
        choices=(0, 90, 180, 270),
        metavar="DEG",
        help="turn each picture of the camera clockwise so that it is upright, in degrees: 0, 90, 180 or 270 (default: the"
        " stored one, or 0)",
    )
    setup.add_argument(
        "--key",
        metavar="KEY",
        help=f"key of the gallery: {KEY_HELP} (default: the stored one, or a key file in the folder)",
    )
    setup.add_argument(
        "--anchor",
        metavar="ANCHOR",
        help="anchor that detects an old copy put in place of the gallery: a file, or tpm:INDEX (default: the stored one, or a"
        " file in the folder)",
    )
    setup.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="threads of each network, 1 or more (default: the stored one, or one on each performance core, at most 4)",
    )


def _setup(arguments: argparse.Namespace) -> Output:
    from edge_sdk.diagnostics.doctor import CheckStatus
    from edge_sdk.door.licences import LicencesRefusedError
    from edge_sdk.door.setup import SetupOptions, set_up
    from edge_sdk.kit import KitFile

    options = SetupOptions(
        folder=arguments.installation,
        door=arguments.door,
        fpir=arguments.fpir,
        camera=arguments.camera,
        rotate=arguments.rotate,
        key=arguments.key,
        anchor=arguments.anchor,
        threads=arguments.threads,
    )
    typed: list[str] = []

    def passphrase(is_new: bool) -> str:
        # Typed once, although the checks at the end open the gallery again.
        if not typed:
            typed.append(read_passphrase("passphrase", twice=is_new))
        return typed[0]

    try:
        result = set_up(
            KitFile.open(arguments.kit),
            options,
            accept=lambda terms: _accept(terms, accepted=arguments.accept_licences),
            passphrase=passphrase,
        )
    except LicencesRefusedError as error:
        return Output({"installed": False, "reason": str(error)}, str(error), positive=False)
    checks = list(_check(result, passphrase))
    failed = any(check.status is CheckStatus.FAIL for check in checks)
    installation = result.installation
    return Output(
        {
            "installed": True,
            "kit": installation.kit.name,
            "version": installation.kit.version,
            "kit_sha256": installation.kit.sha256,
            "door": installation.door,
            "changes": list(result.changes),
            "limits": list(result.limits),
            "not_covered": list(result.not_covered),
            "files": installation.files_used(),
            "model_change_waits": result.waits,
            "healthy": not failed,
            "findings": [check.to_json() for check in checks],
        },
        "\n".join([*_format_result(result), *_format_checks(checks), _next_step(result, failed=failed)]),
        not failed,
    )


def _accept(terms: LicenceTerms, *, accepted: bool) -> bool:
    """Show the licences, and ask for their acceptance if it was not given as an option."""
    console.say(PROGRAM, "licences of the networks:")
    for line in (*terms.lines, *terms.notes):
        console.say(PROGRAM, f"  {line}")
    if terms.texts:
        console.say(PROGRAM, f"  texts: {', '.join(name for name, _ in terms.texts)}")
    if accepted:
        return True
    if not (sys.stdin.isatty() and sys.stderr.isatty()):  # redirected licences are not read
        raise InputError(
            "expected the licences to be accepted, found no terminal to ask on",
            hint="read them above, and accept them with --accept-licences",
        )
    while True:
        sys.stderr.write("accept these licences? yes, no, or text to read them: ")
        sys.stderr.flush()
        answer = sys.stdin.readline().strip().lower()
        if answer in ("t", "text"):
            for name, text in terms.texts:
                sys.stderr.write(escaped(f"\n--- {name}\n{text}\n"))
        elif answer in ("y", "yes"):
            return True
        elif answer in ("", "n", "no"):
            return False


def _check(result: SetupResult, passphrase: Callable[[bool], str]) -> Iterator[CheckResult]:
    """Run the checks of `edge-sdk doctor` on everything that was installed."""
    from edge_sdk.door.named import anchor_named, key_named
    from edge_sdk.gallery import Gallery

    installation = result.installation
    arguments = argparse.Namespace(
        installed=installation,
        model=installation.model,
        delegate=[],
        gallery=installation.gallery,
        key=installation.key,
    )

    def opener() -> Gallery:
        key = key_named(installation.key, passphrase=lambda: passphrase(False))
        anchor = anchor_named(installation.anchor)
        return Gallery.open(installation.gallery, key=key, needs_model=False, anchor=anchor)

    return examine(arguments, opener=opener)


def _format_result(result: SetupResult) -> list[str]:
    installation = result.installation
    networks = " ".join(network.file for network in installation.networks)
    lines = [
        f"kit {installation.kit.name} {installation.kit.version} is installed in {installation.folder}",
        *(f"  {change}" for change in result.changes or ("nothing changed",)),
        f"  networks: {networks}",
        f"  key: {installation.key}",
        f"  camera: {installation.files_used()['camera'] or 'none'}"
        + (f", turned by {installation.rotate} degrees" if installation.rotate else ""),
    ]
    if result.limits:
        lines += ["what the limits mean:", *(f"  {line}" for line in result.limits)]
    if result.not_covered:
        lines += ["what the kit's evidence does not cover:", *(f"  {line}" for line in result.not_covered)]
    return [escaped_line(line) for line in lines]  # texts of a kit cannot add lines


def _format_checks(checks: Sequence[CheckResult]) -> list[str]:
    """Format what deserves attention, and the number of checks that passed; `edge-sdk doctor` prints them all."""
    from edge_sdk.diagnostics.doctor import CheckStatus

    noted = [check for check in checks if check.status is not CheckStatus.OK]
    lines = [f"doctor: {len(checks) - len(noted)} of {len(checks)} checks passed"]
    return lines + [f"  {line}" for line in (format_results(noted) if noted else ())]


def _next_step(result: SetupResult, *, failed: bool) -> str:
    if failed:
        return "next: repair what failed, then edge-sdk doctor"
    if result.waits:
        return (
            "next: restart the door and try it with some people; then edge-sdk gallery migrate --confirm keeps the new"
            " network, --undo returns to the earlier one"
        )
    if result.installation.detector is None:
        return "next: edge-sdk enrol NAME IMAGE ..., then edge-sdk identify IMAGE --fpir RATE"
    if not result.installation.door:
        return (
            "next: edge-sdk face enrol NAME, then edge-sdk face identify PHOTO --fpir RATE; for edge-sdk try and a door lock,"
            " run setup again with --door"
        )
    return "next: edge-sdk face enrol NAME, then edge-sdk try"
