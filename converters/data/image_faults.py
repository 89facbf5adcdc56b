"""Find faults of calibration images that their pixels show: too few, blank, alike, without colour, or of a narrow range."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_sdk.types import FloatArray, UInt8Array

#: With fewer images for activation ranges, there is a finding.
RECOMMENDED_IMAGES = 100
#: An image with a smaller standard deviation is blank; grey levels.
_BLANK = 3.0
#: An image is without colour if its channels differ by less, on average; grey levels.
_COLOURLESS = 3.0
#: Images are copies if their thumbnails correlate so much: 95 % of different faces and products stay below 0.9.
_COPY, _THUMBNAIL = 0.95, 16
_FEW_COPIES, _MOST_COLOURLESS = 0.2, 0.5
#: Least width of the range that holds 99 % of all pixels; grey levels.
_NARROW = 64


@dataclass(frozen=True)
class Finding:
    """A fault of the calibration images. The field names are keys of the JSON report.

    Args:
        fault: Name of the fault: ``few``, ``blank``, ``copies``, ``colourless``, ``narrow``, or one of
            ``converters.analyze.calibration_check``.
        measured: What was measured.
        cure: What to do about it.
    """

    fault: str
    measured: str
    cure: str

    def __str__(self) -> str:
        return f"{self.measured}; {self.cure}"


def find_too_few(count: int) -> list[Finding]:
    """Return a finding if there are few images or arrays for activation ranges."""
    if count >= RECOMMENDED_IMAGES:
        return []
    cure = f"give {3 * RECOMMENDED_IMAGES // 2} or more, of which two thirds are used for ranges: a small number does not cover what the device sees"
    return [Finding("few", f"{count} used for activation ranges", cure)]


def find_image_faults(pixels: UInt8Array) -> list[Finding]:
    """List the faults that the pixels show.

    Args:
        pixels: The images for activation ranges, shape (n, H, W, C), uint8.
    """
    count = len(pixels)
    findings = find_too_few(count)
    blank = int((pixels.std(axis=(1, 2, 3)) < _BLANK).sum())
    if blank:
        findings.append(
            Finding(
                "blank",
                f"{blank} of {count} images are of one flat colour",
                "remove them, and see why they are blank",
            )
        )
    copies = _copies(pixels)
    if copies > _FEW_COPIES * count:
        findings.append(
            Finding(
                "copies",
                f"{copies} of {count} images are nearly equal to another one",
                "give images of different subjects, not frames of one video",
            )
        )
    colourless = _colourless(pixels)
    if colourless > _MOST_COLOURLESS * count:
        findings.append(
            Finding(
                "colourless",
                f"{colourless} of {count} images have no colour, but the network reads colour",
                "give colour images, if the device sees colour",
            )
        )
    low, high = np.percentile(pixels, [0.5, 99.5])
    if high - low < _NARROW:
        findings.append(
            Finding(
                "narrow",
                f"99 % of the pixel values lie in {low:.0f}..{high:.0f}",
                "write images with pixel values 0..255; values of 0..1 may have been saved as they were",
            )
        )
    return findings


def _copies(pixels: UInt8Array) -> int:
    """Count the images whose thumbnail has a nearly equal one."""
    thumbnails = _thumbnails(pixels)
    if len(thumbnails) < 2:
        return 0
    correlation = thumbnails @ thumbnails.T
    np.fill_diagonal(correlation, -1.0)
    return int((correlation.max(axis=1) > _COPY).sum())


def _thumbnails(pixels: UInt8Array) -> FloatArray:
    """Reduce images to 16x16 grey values without mean and of length 1; shape (n, 256)."""
    gray = pixels.mean(axis=3, dtype=np.float32)
    for axis in (1, 2):
        starts = np.arange(_THUMBNAIL) * gray.shape[axis] // _THUMBNAIL
        sizes = np.diff([*starts, gray.shape[axis]]).clip(1).astype(np.float32)
        gray = np.add.reduceat(gray, starts, axis=axis) / np.expand_dims(sizes, (0, 3 - axis))
    flat = gray.reshape(len(gray), -1)
    flat -= flat.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(lengths, 1e-6), np.float32)


def _colourless(pixels: UInt8Array) -> int:
    if pixels.shape[3] == 1:
        return 0
    spread = pixels.max(axis=3).astype(np.int16) - pixels.min(axis=3)
    return int((spread.mean(axis=(1, 2)) < _COLOURLESS).sum())
