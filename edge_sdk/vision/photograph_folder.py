"""Names of the photographs in a folder, as a whole or with one subfolder per person."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edge_sdk.errors import InputError
from edge_sdk.vision.images import SUFFIXES


def list_photographs(folder: Path) -> list[str]:
    """List the photographs of a folder and its subfolders, as sorted relative paths with forward slashes.

    Hidden files and other kinds of files are ignored.

    Raises:
        InputError: There is no such folder, or no photograph in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: expected a folder of photographs, found none")
    names = sorted(_image_names(folder))
    if not names:
        raise InputError(f"{folder}: expected photographs ({', '.join(SUFFIXES)}), found none")
    return names


def list_by_person(folder: Path) -> dict[str, list[str]]:
    """List the photographs of a folder with one subfolder per person.

    Returns:
        Relative paths of each person's photographs by the name of the subfolder, both sorted. A subfolder without
        photographs is a person without any, unless all of its files are hidden.

    Raises:
        InputError: See `list_photographs`; or a photograph lies outside the subfolders, or in a subfolder of one.
    """
    names = list_photographs(folder)
    people: dict[str, list[str]] = {path.name: [] for path in sorted(folder.iterdir()) if _is_person(path)}
    for name in names:
        person, *rest = name.split("/")
        if len(rest) != 1:
            where = "deeper in it" if rest else "beside the subfolders"
            raise InputError(
                f"{folder}: expected one subfolder per person with photographs, found a photograph {where}: {name}",
                hint="move it to a subfolder that has the name of the person",
            )
        people.setdefault(person, []).append(name)
    return people


def _is_person(path: Path) -> bool:
    if path.name.startswith(".") or not path.is_dir():
        return False
    files = list(path.iterdir())
    return not files or any(not file.name.startswith(".") for file in files)


def _image_names(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in name.parts)
        if not hidden and path.suffix.lower() in SUFFIXES and path.is_file():
            yield name.as_posix()
