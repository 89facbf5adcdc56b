"""Make a map between the embedding spaces of two model files: embed, fit, measure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from converters.data.image_set import ImageSet, SetDigest
from converters.data.samples import SampleSet, decode, open_samples
from converters.evaluate.metrics.linear_map import fit_linear_map, measure_map
from converters.evaluate.runner.open_artefact import OpenedArtefact
from edge_sdk.errors import InputError, ModelMismatchError
from edge_sdk.gallery.format.header import TemplateType
from edge_sdk.gallery.match.templates import quantize
from edge_sdk.gallery.migration.space_map import MAP_FMR, MapEvidence, SpaceMap
from edge_sdk.model.array_contract import image_contract
from edge_sdk.model.model_id import ModelId
from edge_sdk.types import FloatArray, UInt8Array
from edge_sdk.vision.alignment import warp
from edge_sdk.vision.embedder import Embedder

#: Turns in degrees and zooms of the calibration images that the fit uses besides the image itself.
_TURN_DEGREES = 8.0
_ZOOM = 1 / 0.93
_DARKER = 1.8

Progress = Callable[[str, int, int], None]


def make_space_map(
    old: OpenedArtefact,
    new: OpenedArtefact,
    *,
    calibration: Path,
    images: Path,
    progress: Progress = lambda stage, done, total: None,
) -> SpaceMap:
    """Fit a map on calibration images, and measure it on labelled images that took no part in the fit.

    Templates are rounded to int8 before and after the map, as a gallery stores them.

    Args:
        old: The file whose templates a gallery holds.
        new: The file to which the gallery changes.
        calibration: Folder or archive of crops, without labels.
        images: Folder or archive of crops, one folder per subject.
        progress: Called with the name of the stage, done and total.

    Raises:
        ModelMismatchError: both files have the same embedding space, or need crops of different colours.
        InputError: images cannot be read or are too few, or a labelled image is among the calibration images.
    """
    ids = [ModelId.of(bytes.fromhex(artefact.sha256), artefact.card) for artefact in (old, new)]
    if ids[0].space == ids[1].space:
        raise ModelMismatchError(
            "expected two networks, found one: both files have the same embedding space",
            hint="a gallery needs no map for this; store new thresholds with edge-sdk gallery policy",
        )
    contracts = [image_contract(artefact.card.input) for artefact in (old, new)]
    if contracts[0].channels != contracts[1].channels:
        raise ModelMismatchError("expected two networks for crops of the same colours, found others")
    embedders = old.embedder(), new.embedder()
    color = contracts[0].color
    crops = ImageSet.open(calibration)
    labelled = open_samples(images)
    seen: set[bytes] = set()
    source, target, variants = embed_calibration(crops, color, embedders, seen, progress)
    fitted = fit_linear_map(source, target, variants)
    own, probes, digest = embed_labelled(labelled, color, embedders, seen, progress)
    rates = measure_map(
        as_stored(probes),
        as_stored(fitted.apply(as_stored(own))),
        probes,
        [sample.subject for sample in labelled.samples],
        fmr=MAP_FMR,
    )
    evidence = MapEvidence(
        fmr=MAP_FMR,
        native_fnmr=rates.native_fnmr,
        mapped_fnmr=rates.mapped_fnmr,
        loss_interval=rates.loss_interval,
        native_threshold=rates.native_threshold,
        fmr_at_native_threshold=rates.fmr_at_native_threshold,
        fnmr_at_native_threshold=rates.fnmr_at_native_threshold,
        mated=rates.mated,
        non_mated=rates.non_mated,
        subjects=rates.subjects,
        data_set=labelled.data_set,
        data_digest=digest,
    )
    method = f"{fitted.method}, {len(crops.names)} images of {calibration.name} in {variants} variants"
    return SpaceMap(
        ids[0].space,
        bytes(ids[0]),
        ids[1].space,
        fitted.matrix.T.astype(np.float32),
        fitted.shift.astype(np.float32),
        method,
        evidence,
    )


def variants_of(crop: UInt8Array) -> list[UInt8Array]:
    """Return a crop and altered copies of it: mirrored, turned, enlarged and darker.

    Both networks see the same pixels, so the copies need not look natural.

    Args:
        crop: Shape (H, W, C), uint8.

    Returns:
        Eight crops of the same shape, the crop itself first.
    """
    height, width = crop.shape[:2]
    angle = np.deg2rad(_TURN_DEGREES)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    darker = (255 * (np.arange(256) / 255) ** _DARKER).round().astype(np.uint8)
    copies = []
    for face in (crop, np.ascontiguousarray(crop[:, ::-1])):
        copies.append(face)
        for linear in (turn, np.eye(2) * _ZOOM):
            centre = np.array([(width - 1) / 2, (height - 1) / 2])
            matrix = np.column_stack([linear, centre - linear @ centre])
            copies.append(warp(face, matrix, height, width))
        copies.append(darker[face])
    return copies


def embed_calibration(
    crops: ImageSet,
    color: str,
    embedders: tuple[Embedder, Embedder],
    seen: set[bytes],
    progress: Progress,
) -> tuple[FloatArray, FloatArray, int]:
    """Embed all variants of the calibration images with both networks; returns the embeddings and the number of variants.

    Args:
        crops: The images.
        color: ``gray`` for one channel, otherwise RGB.
        embedders: Old and new network.
        seen: Set to which the digests of the images are added.
        progress: See `make_space_map`.
    """
    rows: list[tuple[FloatArray, FloatArray]] = []
    variants = 0
    for done, name in enumerate(crops.names, start=1):
        content = crops.read(name)
        seen.add(hashlib.sha256(content).digest())
        copies = variants_of(decode(content, name, color=color))
        variants = len(copies)
        rows += [(embedders[0].embed(face), embedders[1].embed(face)) for face in copies]
        progress("calibration", done, len(crops.names))
    return np.stack([row[0] for row in rows]), np.stack([row[1] for row in rows]), variants


def embed_labelled(
    labelled: SampleSet,
    color: str,
    embedders: tuple[Embedder, Embedder],
    seen: set[bytes],
    progress: Progress,
) -> tuple[FloatArray, FloatArray, str]:
    """Embed the labelled images with both networks; returns the embeddings and the digest of the images."""
    digest = SetDigest()
    rows: list[tuple[FloatArray, FloatArray]] = []
    for sample in labelled.samples:
        content = labelled.read(sample)
        digest.add(sample.name, content)
        if hashlib.sha256(content).digest() in seen:
            raise InputError(
                f"{sample.name} is also a calibration image: the loss would be measured on images of the fit",
                hint="use labelled images of other people",
            )
        face = decode(content, sample.name, color=color)
        rows.append((embedders[0].embed(face), embedders[1].embed(face)))
        progress("labelled images", len(rows), len(labelled.samples))
    return np.stack([row[0] for row in rows]), np.stack([row[1] for row in rows]), digest.hexdigest()


def as_stored(rows: FloatArray) -> FloatArray:
    """Return unit embeddings as an int8 gallery stores them."""
    stored, scales = quantize(rows.astype(np.float64), TemplateType.INT8)
    restored: FloatArray = stored.astype(np.float32) * scales[:, np.newaxis]
    return restored
