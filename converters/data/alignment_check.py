"""Notice images that are photographs where a network expects aligned crops of faces."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from converters.data.image_set import evenly
from converters.data.samples import SampleSet
from edge_sdk.errors import EdgeSdkError
from edge_sdk.model.card import InputContract
from edge_sdk.types import Float64Array, UInt8Array
from edge_sdk.vision.alignment import as_complex, nearest_similarity, template_of
from edge_sdk.vision.faces import FaceDetector, largest
from edge_sdk.vision.resize import fit

#: Number of images to look at, and the least number to judge by.
IMAGES, LEAST_IMAGES = 32, 8
#: Input sizes that networks for aligned faces usually have.
FACE_SIZES = {(112, 112), (112, 96)}
#: Zoo model that finds the faces if its file is in the cache.
_DETECTOR = "blazeface-short"
#: Limits of a face that is at the template's place: size ratio, rotation, and shift as a share of the eyes' distance.
_SCALE, _DEGREES, _SHIFT = 1.3, 20.0, 0.5
_SHARE = 0.5
#: Least correlation of the mean image with the schematic face: aligned sets of 32 images have 0.36 to 0.53.
_LEAST_CORRELATION = 0.2


@dataclass(frozen=True, eq=False)
class LookedAt:
    """A part of a set of images.

    Args:
        pixels: Shape (n, H, W, C), uint8, at the network's size.
        larger: Number of these images whose files are at least 1.5 times as high or wide as the network's input.
    """

    pixels: UInt8Array
    larger: int


def look_at(samples: SampleSet, contract: InputContract) -> LookedAt:
    """Read up to 32 images of a set; images that cannot be decoded are left out."""
    crops: list[UInt8Array] = []
    larger = 0
    by_name = {sample.name: sample for sample in samples.samples}
    for name in evenly([sample.name for sample in samples.samples], IMAGES):
        try:
            image = samples.image(by_name[name], color=contract.color)
            crops.append(fit(image, contract.height, contract.width))
        except EdgeSdkError:
            continue
        larger += image.shape[0] >= 1.5 * contract.height or image.shape[1] >= 1.5 * contract.width
    return LookedAt(np.stack(crops) if crops else np.empty((0, *contract.shape), np.uint8), larger)


def alignment_note(images: LookedAt, contract: InputContract, detector: FaceDetector | None = None) -> str:
    """Return a warning if the images are not aligned as the contract's landmark template says; empty if they may be.

    With a detector, the place of the largest face is compared with the template. Without one, the mean image is compared
    with a schematic face at the template's place. A contract without a template is judged only if its size is usual for
    aligned faces: by a detector, or by the size of the files.

    Args:
        images: Images at the network's size.
        contract: The input contract.
        detector: Face detector; None for none.
    """
    count = len(images.pixels)
    pixels = images.pixels[[i * count // IMAGES for i in range(IMAGES)]] if count > IMAGES else images.pixels
    if count < LEAST_IMAGES:
        return ""
    faces_expected = contract.alignment is not None
    if not faces_expected and (contract.height, contract.width) not in FACE_SIZES:
        return ""
    cure = "align photographs first: edge-sdk face align PHOTOGRAPHS --output CROPS --detector FILE"
    if detector is not None and contract.channels == 3:
        places = [_place(detector, image, contract) for image in pixels]
        known = [aligned for aligned in places if aligned is not None]
        wrong = len(known) - sum(known) + (len(places) - len(known) if faces_expected else 0)
        if wrong <= _SHARE * len(places):
            return ""
        return f"{wrong} of {len(places)} images show no face at the place of an aligned crop; {cure}"
    correlation = face_correlation(pixels, contract)
    if correlation >= _LEAST_CORRELATION:
        return ""
    if faces_expected:
        return (
            f"the images do not look like aligned crops: the correlation of their mean with a face at the template's"
            f" place is {correlation:.2f}, for aligned crops it is above {_LEAST_CORRELATION:g}; {cure}"
        )
    if images.larger > _SHARE * count:
        size = f"{contract.height}x{contract.width}"
        return f"{images.larger} of {count} images are larger than {size}; if the network expects aligned faces, {cure}"
    return ""


def zoo_detector() -> FaceDetector | None:
    """Open the zoo's face detector if its file is in the cache or the mirror folder; nothing is downloaded."""
    from edge_sdk.vision.detector import Detector
    from edge_sdk.zoo import entry, path

    try:
        return Detector.open(path(entry(_DETECTOR)))
    except EdgeSdkError:
        return None


def face_correlation(pixels: UInt8Array, contract: InputContract) -> float:
    """Correlate the mean of normalized images with a schematic face at the template's place.

    Args:
        pixels: Shape (n, H, W, C), uint8.
        contract: The input contract, for the template.

    Returns:
        The correlation within the face, -1..1; 0 if all images are flat.
    """
    gray = pixels.astype(np.float64).mean(axis=3)
    gray -= gray.mean(axis=(1, 2), keepdims=True)
    gray /= gray.std(axis=(1, 2), keepdims=True) + 1e-6
    schematic, part = _schematic(contract)
    mean = gray.mean(axis=0)[part]
    if mean.std() < 1e-9:
        return 0.0
    return float(np.corrcoef(mean.ravel(), schematic[part].ravel())[0, 1])


def _place(detector: FaceDetector, image: UInt8Array, contract: InputContract) -> bool | None:
    """Return True if the largest face is at the template's place, False if it is elsewhere, None if there is none."""
    face = largest(detector.detect(image))
    if face is None:
        return None
    template = template_of(contract)
    factor, shift = nearest_similarity(as_complex(face.landmarks), as_complex(template))
    centre = complex(*template.mean(axis=0))
    away = abs((centre - shift) / factor - centre) / math.dist(template[0], template[1])
    angle = math.degrees(abs(math.atan2(factor.imag, factor.real)))
    return 1 / _SCALE <= abs(factor) <= _SCALE and angle <= _DEGREES and away <= _SHIFT


def _schematic(contract: InputContract) -> tuple[Float64Array, tuple[slice, slice]]:
    """Draw a schematic face (dark eyes, brows and mouth; bright nose, cheeks and forehead), and its part of the image."""
    left, right, nose, *mouth = template_of(contract)
    eyes = math.dist(left, right)
    y, x = np.mgrid[0 : contract.height, 0 : contract.width].astype(np.float64)

    def spot(place: Float64Array, across: float, down: float) -> Float64Array:
        """Draw a Gaussian spot; its deviations are shares of the eyes' distance."""
        away = ((x - place[0]) / (across * eyes)) ** 2 + ((y - place[1]) / (down * eyes)) ** 2
        return np.asarray(np.exp(-away / 2), np.float64)

    def moved(place: Float64Array, across: float, down: float) -> Float64Array:
        return np.asarray(place + np.array([across, down]) * eyes, np.float64)

    middle = (left + right) / 2
    face = 0.8 * spot(moved(nose, 0, -0.15), 0.12, 0.35) + 0.6 * spot(moved(middle, 0, -0.75), 0.5, 0.18)
    face -= 0.8 * spot((mouth[0] + mouth[1]) / 2, 0.35, 0.1)
    for eye, side in ((left, -0.05), (right, 0.05)):
        face += 0.6 * spot(moved(eye, side, 0.55), 0.2, 0.2)
        face -= spot(eye, 0.22, 0.1) + 0.7 * spot(moved(eye, 0, -0.32), 0.3, 0.1)
    top, bottom = middle[1] - 0.9 * eyes, mouth[0][1] + 0.33 * eyes
    start, end = left[0] - 0.46 * eyes, right[0] + 0.5 * eyes
    rows = slice(max(0, round(top)), min(contract.height, round(bottom)))
    return face, (rows, slice(max(0, round(start)), min(contract.width, round(end))))
