"""Comparisons across cameras, as in person re-identification (Zheng et al. 2015, "Scalable Person Re-identification", Market-1501).

A mated pair from one camera shows the same clothes, light and background, so it says little about recognition at another camera. Such pairs
are excluded: from the 1:1 figures, and from the list in which each probe is searched.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from converters.evaluate.metrics.cosines import subject_codes
from converters.evaluate.metrics.covariates import Covariates
from converters.evaluate.metrics.embedded_samples import EmbeddedSamples
from converters.evaluate.metrics.subject_scores import ListedPairs
from edge_sdk.errors import InputError

#: Most comparisons of one evaluation; each takes up to 140 bytes, measured.
MAX_COMPARISONS = 20_000_000
#: Last rank of the cumulative match curve.
CURVE_RANKS = 20
#: Camera and sequence in the file names of Market-1501, DukeMTMC-reID and their relatives: 0002_c1s1_000451_03.jpg.
_IN_NAME = re.compile(r"_c(\d+)(?:s\d+)?(?=_)")


@dataclass(frozen=True)
class Cameras:
    """The camera of each image.

    Args:
        source: Origin of the assignment, for the results.
        camera_of: Image name ``subject/file`` -> camera.
    """

    source: str
    camera_of: Mapping[str, str]

    @classmethod
    def of_names(cls, names: Sequence[str]) -> Cameras:
        """Read the cameras from file names such as ``0002_c1s1_000451_03.jpg``.

        Raises:
            InputError: A name has no camera.
        """
        matches = {name: _IN_NAME.search(name.rpartition("/")[2]) for name in names}
        without = [name for name, match in matches.items() if match is None]
        if without:
            raise InputError(
                f"expected a camera in each file name, such as 0002_c1s1_000451_03.jpg, found {without[0]!r}"
                + (f" and {len(without) - 1} more" if without[1:] else ""),
                hint="rename the images, or give a CSV file with the columns image,camera",
            )
        return cls("file names", {name: match[1] for name, match in matches.items() if match is not None})

    @classmethod
    def of_covariates(cls, table: Covariates) -> Cameras:
        """Take the column ``camera`` of a table of images.

        Raises:
            InputError: The table is about subjects, or has no such column.
        """
        if not table.of_images or "camera" not in table.covariates:
            raise InputError(
                f"{table.name}: expected the columns image and camera, found"
                f" {'image' if table.of_images else 'subject'} and {', '.join(table.covariates)}",
                hint="the first line is: image,camera",
            )
        place = table.covariates.index("camera")
        return cls(
            f"{table.name}, SHA-256 {table.digest}",
            {name: values[place] for name, values in table.rows.items()},
        )

    def codes(self, embedded: EmbeddedSamples) -> np.ndarray:
        """Return the camera of each embedded image as a number, shape (n,).

        Raises:
            InputError: An image has no camera, or all have the same.
        """
        without = [name for name in embedded.names if name not in self.camera_of]
        if without:
            raise InputError(
                f"expected a camera of each image in {self.source}, found none of {without[0]!r}"
                + (f" and {len(without) - 1} more" if without[1:] else ""),
                hint="add a row for each image",
            )
        cameras, codes = np.unique([self.camera_of[name] for name in embedded.names], return_inverse=True)
        if len(cameras) < 2:
            raise InputError(f"expected two or more cameras in {self.source}, found {len(cameras)}")
        return codes


@dataclass(frozen=True)
class CrossCameraEvidence:
    """Search of each image among the images of other cameras and of other subjects. The field names are keys of the JSON report.

    Args:
        source: Origin of the cameras.
        cameras: Number of cameras.
        probes: Images that were searched.
        without_match: Images that were not searched, because their subject has no image from another camera.
        rank_1, rank_5: Share of the probes with an image of their subject among the first 1 or 5.
        mean_average_precision: Mean over the probes of the average precision: the mean of the precision at each mated image.
        cumulative_match: Share of the probes with an image of their subject among the first k, for k = 1 to ``CURVE_RANKS``.
    """

    source: str
    cameras: int
    probes: int
    without_match: int
    rank_1: float
    rank_5: float
    mean_average_precision: float
    cumulative_match: tuple[float, ...]

    def to_json(self) -> dict[str, object]:
        """Return the figures as JSON values."""
        return {**vars(self), "cumulative_match": list(self.cumulative_match)}

    def line(self) -> str:
        """Format the figures as one line."""
        return (
            f"across {self.cameras} cameras ({self.source.split(',')[0]}): {self.probes} probes, rank 1 {100 * self.rank_1:.1f} %, rank 5"
            f" {100 * self.rank_5:.1f} %, mean average precision {100 * self.mean_average_precision:.1f} %; {self.without_match} images"
            " without an image of their subject from another camera"
        )


def cross_camera_pairs(embedded: EmbeddedSamples, cameras: Cameras) -> ListedPairs:
    """List every pair of images except those of one subject from one camera.

    Raises:
        InputError: An image has no camera, or there are more than ``MAX_COMPARISONS`` pairs.
    """
    camera, subject = cameras.codes(embedded), subject_codes(embedded.subjects, len(embedded.subjects))
    count = len(camera)
    if count * (count - 1) // 2 > MAX_COMPARISONS:
        raise InputError(
            f"expected at most {MAX_COMPARISONS:,} comparisons across cameras, found those of {count:,} images",
            hint="measure on fewer subjects, or list the comparisons in a pairs file",
        )
    first, second = np.triu_indices(count, 1)
    kept = (subject[first] != subject[second]) | (camera[first] != camera[second])
    return ListedPairs(embedded.vectors, embedded.subjects, first[kept], second[kept])


def search_across_cameras(embedded: EmbeddedSamples, cameras: Cameras) -> CrossCameraEvidence:
    """Search each image among all others except those of its subject from its camera.

    Raises:
        InputError: An image has no camera, or no subject has images from two cameras.
    """
    camera, subject = cameras.codes(embedded), subject_codes(embedded.subjects, len(embedded.subjects))
    ranks, precisions = [], []
    for row, vector in enumerate(embedded.vectors):
        listed = (subject != subject[row]) | (camera != camera[row])
        mated = subject[listed] == subject[row]
        if mated.any():
            order = np.argsort(-(embedded.vectors[listed] @ vector), kind="stable")
            places = np.flatnonzero(mated[order]) + 1
            ranks.append(int(places[0]))
            precisions.append(float(np.mean(np.arange(1, len(places) + 1) / places)))
    if not ranks:
        raise InputError(
            f"expected a subject with images from two cameras in {embedded.data_set}, found none",
            hint="check the cameras of the images",
        )
    first = np.array(ranks)
    return CrossCameraEvidence(
        source=cameras.source,
        cameras=int(camera.max()) + 1,
        probes=len(first),
        without_match=len(camera) - len(first),
        rank_1=float((first <= 1).mean()),
        rank_5=float((first <= 5).mean()),
        mean_average_precision=float(np.mean(precisions)),
        cumulative_match=tuple(float((first <= rank).mean()) for rank in range(1, CURVE_RANKS + 1)),
    )
