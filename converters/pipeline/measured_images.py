"""Images on which a conversion checks and measures its networks: held-out calibration images, or generated ones."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from converters.analyze.calibration_check import CalibrationCheck
from converters.data.calibration import CalibrationSet
from converters.data.generated import generated_inputs
from converters.evaluate.metrics.score_noise import score_noise
from edge_sdk.matching import cosine
from edge_sdk.model.array_contract import AnyContract
from edge_sdk.model.golden import generator_of
from edge_sdk.types import FloatArray, SampleArray

_WITNESS_IMAGES = 16
_GATE_IMAGES = 4


@dataclass(frozen=True, eq=False)
class MeasuredImages:
    """Images on which a conversion checks and measures its networks.

    Args:
        pixels: Images on which fidelity is measured, shape (n, H, W, C), uint8.
        names: Their names.
        sha256: Their digest, hex.
        held_out: True if calibration did not use them.
        crops: A few images for gates and times.
        calibration: The calibration images; None if the images are generated.
        check: Result of the check of the calibration images; None if they are drawn or were not checked.
    """

    pixels: SampleArray
    names: tuple[str, ...]
    sha256: str
    held_out: bool
    crops: SampleArray
    calibration: CalibrationSet | None = None
    check: CalibrationCheck | None = None

    @classmethod
    def of(cls, images: CalibrationSet | None, contract: AnyContract) -> MeasuredImages:
        """Take the held-out part of the calibration images, or generate images if there are none."""
        if images is None:
            pixels = generated_inputs(contract)
            names = tuple(f"{generator_of(contract)} seed {seed}" for seed in range(1, len(pixels) + 1))
            digest = hashlib.sha256(pixels.tobytes()).hexdigest()
            return cls(pixels, names, digest, True, pixels[:_GATE_IMAGES])
        held_out = images.held_out
        crops = images.ranges.pixels[:_GATE_IMAGES]
        return cls(held_out.pixels, tuple(held_out.names), held_out.sha256, images.split, crops, images)

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def basis(self) -> str:
        """Kind of the images: ``images``, ``drawn`` for drawn pictures, ``generated`` for generated inputs."""
        if self.calibration is None:
            return "generated"
        return "drawn" if self.calibration.drawn else "images"

    @property
    def witness(self) -> SampleArray:
        """Images on which the float network is compared with its source."""
        return self.pixels[:_WITNESS_IMAGES]

    def fidelity(self, baseline: FloatArray, embeddings: FloatArray) -> dict[str, Any]:
        """Compare an artefact's embeddings of these images with the float network's, for the model card.

        Args:
            baseline: Shape (n, D), the float network's.
            embeddings: Shape (n, D), the artefact's.
        """
        cosines = cosine(baseline, embeddings)
        worst = int(cosines.argmin())
        return {
            "cosine_mean": float(cosines.mean()),
            "cosine_min": float(cosines[worst]),
            "worst_image": self.names[worst],
            "images": len(self),
            "held_out": self.held_out,
            "images_sha256": self.sha256,
            **({"generated": True} if self.basis != "images" else {}),
            **(
                {}
                if self.basis == "generated" or len(self) < 2
                else {"score_noise": score_noise(baseline, embeddings).figures()}
            ),
        }


def describe_calibration(images: CalibrationSet) -> Mapping[str, Any]:
    """Return the number of images used and available, the digest of the used images, and the generator of drawn pictures."""
    values = {"images": len(images.ranges), "available": images.available, "sha256": images.ranges.sha256}
    return {**values, "drawn": images.drawn} if images.drawn else values
