"""Sources of an evaluation: combinations that are refused, and samples read from folders and lists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from converters.evaluate.runner.image_sources import ImageSources
from edge_sdk.errors import InputError
from tests.labelled_images import contents, photo, png, write

PEOPLE, PROBES, LIST = Path("people"), (Path("probes"),), Path("list.txt")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "found neither"),
        ({"enrol": PEOPLE}, "expected both images to enrol and probes, found no probes"),
        ({"probes": PROBES}, "expected both images to enrol and probes, found no images to enrol"),
        ({"images": PEOPLE, "enrol": PEOPLE, "probes": PROBES}, "found both"),
        (
            {"images": PEOPLE, "open_set": LIST, "enrolled_share": 0.5},
            "found an open-set list and an enrolled",
        ),
        ({"enrol": PEOPLE, "probes": PROBES, "open_set": LIST}, "found images to enrol and an open-set list"),
        ({"enrol": PEOPLE, "probes": PROBES, "pairs": LIST}, "expected labelled images for the pairs file"),
    ],
)
def test_contradictions_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ImageSources(**options)


@pytest.mark.parametrize("options", [{"enrolled_share": 0.0}, {"enrolled_share": 0.5, "references": 0}])
def test_values_outside_their_range_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    sources = ImageSources(images=write(tmp_path / "people", contents(3, 2)), **options)
    with pytest.raises(InputError, match=r"a share in 0\.\.1 and references from 1"):
        sources.read()


def test_a_list_or_a_share_selects_the_enrolled_subjects(tmp_path: Path) -> None:
    people = write(tmp_path / "people", contents(4, 2))
    listed = tmp_path / "list.txt"
    listed.write_text("enrol\ts00/s00_0001.png\nprobe\ts01/s01_0001.png\n")
    data = ImageSources(images=people, open_set=listed).read()
    assert data.open_set is not None
    assert (data.open_set.enrolled, data.open_set_name) == (("s00/s00_0001.png",), "list list.txt")
    data = ImageSources(images=people, enrolled_share=0.5).read()
    assert data.open_set is not None
    assert len(data.open_set.enrolled) == 2
    assert data.open_set_name == (
        "0.5 of the 4 subjects with 2 or more images, drawn with seed 0, the first image of each enrolled"
    )
    assert ImageSources(images=people, name="drawn").read().samples.data_set == "drawn"


def test_folders_of_one_name_are_refused(tmp_path: Path) -> None:
    first, second = (write(tmp_path / part / "people", contents(2, 1)) for part in "ab")
    with pytest.raises(InputError, match="two called people"):
        ImageSources(enrol=first, probes=(second,)).read()


def test_two_images_to_enrol_of_one_name_are_refused(tmp_path: Path) -> None:
    enrol = write(tmp_path / "enrol", {"s00.png": png(photo(0, 1)), "s00.jpg": png(photo(0, 2))})
    with pytest.raises(InputError, match="two with the same name"):
        ImageSources(enrol=enrol, probes=(write(tmp_path / "probes", contents(2, 1)),)).read()
