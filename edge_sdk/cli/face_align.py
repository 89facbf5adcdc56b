"""``edge-sdk face align``: cut aligned crops out of photographs or camera frames."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_sdk import console
from edge_sdk.cli.arguments import (
    CAMERA_HELP,
    PROGRAM,
    Output,
    add_command,
    add_rotate_argument,
    format_count,
    show_progress,
    take_from_installation,
)
from edge_sdk.cli.opening import camera_named, resolve_detector
from edge_sdk.escaping import escaped_line

if TYPE_CHECKING:
    from edge_sdk.model.card import InputContract
    from edge_sdk.vision.align_folder import AlignedPerson, PerPerson


def add_align(commands: Any) -> None:
    """Add the command `face align`."""
    parser = add_command(
        commands,
        "align",
        "cut aligned crops out of a folder of photographs, or out of the pictures of a camera",
        _align,
        details="Networks that embed faces take aligned crops, not photographs. Use the crops with edge-convert convert"
        " --calibration, evaluate and compare.\n\n"
        "Photographs: subfolders are kept. Photographs without a face and turned photographs are listed and left out;\n"
        "--rotate turns all photographs of the folder. With --per-person every photograph must be in the subfolder of one\n"
        "person, photographs with a second large face are left out, and so are people with fewer than --least usable\n"
        "photographs; with --model it lists photographs that resemble none of the person's others.\n\n"
        "Camera: one person stands in front of it; the crops are written to DIR/NAME, and the command prints what the\n"
        "person can do if a picture is not good enough. Run it once per person:\n\n"
        "  edge-sdk face align --camera usb --name alice --output crops/ --detector yunet.tflite",
        example="face align photographs/ --output crops/ --detector yunet.tflite --per-person",
    )
    parser.add_argument(
        "photographs", type=Path, nargs="?", help="folder of JPEG, PNG or PPM files; not with --camera"
    )
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder for the crops (PNG), new or empty; with --camera it may hold other people's crops",
    )
    take_from_installation(parser, "detector", required=True)
    parser.add_argument(
        "--detector",
        metavar="FILE",
        help="face detector: a .tflite, or NAME:ARGUMENT of a detector plug-in (default: the installation's)",
    )
    parser.add_argument(
        "--model",
        type=Path,
        metavar="FILE",
        help="model whose size and landmark template the crops get (default: ArcFace's template at --size)",
    )
    parser.add_argument(
        "--size",
        type=_size,
        default=(112, 112),
        metavar="HxW",
        help="height and width of the crops in pixels, used without --model (default: 112x112)",
    )
    parser.add_argument(
        "--choose",
        choices=("central", "largest"),
        help="face to take if a photograph shows several (default: central); a camera's largest face is taken",
    )
    parser.add_argument(
        "--per-person",
        action="store_true",
        help="require one subfolder per person, and list the people (default: any folder)",
    )
    parser.add_argument(
        "--least",
        type=int,
        metavar="N",
        help="with --per-person: usable photographs that a person needs, 1 or more (default: 2)",
    )
    parser.add_argument("--camera", metavar="SOURCE", help=f"camera: {CAMERA_HELP} (default: none)")
    parser.add_argument(
        "--name",
        metavar="NAME",
        help="with --camera: name of the person, and of the subfolder (default: none)",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        metavar="S",
        help="with --camera: time to read from the camera, in seconds (default: 30)",
    )
    parser.add_argument(
        "--crops", type=int, metavar="N", help="with --camera: number of crops, 1 or more (default: 10)"
    )
    add_rotate_argument(parser)


def _align(arguments: argparse.Namespace) -> Output:
    _check_usage(arguments)
    return _align_camera(arguments) if arguments.camera else _align_folder(arguments)


def _check_usage(arguments: argparse.Namespace) -> None:
    refuse = arguments.parser.error
    if bool(arguments.photographs) == bool(arguments.camera):
        refuse("give either a folder of photographs or --camera")
    if arguments.camera:
        if not arguments.name:
            refuse("--camera needs --name")
        if arguments.per_person or arguments.least is not None or arguments.choose:
            refuse("--per-person, --least and --choose are options for photographs, not for --camera")
    elif arguments.name or arguments.seconds is not None or arguments.crops is not None:
        refuse("--name, --seconds and --crops are options for --camera")
    if arguments.least is not None and not arguments.per_person:
        refuse("--least needs --per-person")


def _contract(arguments: argparse.Namespace) -> InputContract:
    from edge_sdk.model.array_contract import image_contract
    from edge_sdk.model.card import InputContract
    from edge_sdk.model.model_file import ModelFile

    if arguments.model is None:
        height, width = arguments.size
        return InputContract(height, width, "rgb", (0.0,) * 3, (1.0,) * 3)
    return image_contract(ModelFile.open(arguments.model).card.input)


def _align_folder(arguments: argparse.Namespace) -> Output:
    from edge_sdk.vision.align_folder import align_folder

    detector = resolve_detector(arguments.detector, None)
    with show_progress("{done:.0f} of {total:.0f} photographs") as progress:
        result = align_folder(
            detector,
            arguments.photographs,
            arguments.output,
            _contract(arguments),
            choose=arguments.choose or "central",
            rotate=arguments.rotate,
            per_person=_per_person(arguments),
            progress=progress,
        )
    refused = [{"photograph": name, "reason": reason} for name, reason in result.refused]
    lines = [f"{format_count(len(result.written), 'crop')} written to {escaped_line(arguments.output)}"]
    lines += [f"{escaped_line(name)} not used: {reason}" for name, reason in result.refused]
    for person in result.people:
        lines += _person_lines(person)
    value: dict[str, Any] = {"written": list(result.written), "refused": refused}
    if arguments.per_person:
        value["people"] = [
            {
                "name": person.name,
                "photographs": person.photographs,
                "crops": person.crops,
                "written": person.written,
                "unlike": list(person.unlike),
            }
            for person in result.people
        ]
    return Output(value, "\n".join(lines))


def _per_person(arguments: argparse.Namespace) -> PerPerson | None:
    from edge_sdk.vision.align_folder import LEAST_PER_PERSON, PerPerson
    from edge_sdk.vision.embedder import Embedder

    if not arguments.per_person:
        return None
    least = LEAST_PER_PERSON if arguments.least is None else arguments.least
    return PerPerson(least, None if arguments.model is None else Embedder.open(arguments.model))


def _person_lines(person: AlignedPerson) -> list[str]:
    lines = [
        f"{escaped_line(person.name)}: {person.crops} of {format_count(person.photographs, 'photograph')} usable"
    ]
    if not person.written:
        lines[0] += "; left out, because too few are"
    lines += [
        f"warning: {escaped_line(name)} resembles none of the person's other photographs: check who it shows"
        for name in person.unlike
    ]
    return lines


def _align_camera(arguments: argparse.Namespace) -> Output:
    from edge_sdk.recognizer.align_camera import MOST_CROPS, align_camera

    detector, contract = resolve_detector(arguments.detector, None), _contract(arguments)
    with camera_named(arguments.camera, rotate=arguments.rotate) as camera:
        result = align_camera(
            detector,
            camera,
            arguments.name,
            arguments.output,
            contract,
            most=MOST_CROPS if arguments.crops is None else arguments.crops,
            seconds=30.0 if arguments.seconds is None else arguments.seconds,
            guide=lambda hint: console.say(PROGRAM, hint),
        )
    folder = arguments.output / arguments.name
    lines = [f"{format_count(len(result.written), 'crop')} written to {escaped_line(folder)}"]
    lines += [f"{format_count(count, 'picture')} not used: {hint}" for hint, count in result.refused]
    refused = [{"reason": hint, "pictures": count} for hint, count in result.refused]
    return Output(
        {"written": list(result.written), "frames": result.frames, "refused": refused}, "\n".join(lines)
    )


def _size(text: str) -> tuple[int, int]:
    try:
        height, width = (int(part) for part in text.lower().split("x"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected HEIGHTxWIDTH such as 112x96, found {text!r}") from error
    return height, width
