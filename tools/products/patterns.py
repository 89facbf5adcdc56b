"""Background of a label: repeating patterns and areas of flavour colour."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from tools.products.catalogue import Colour


def draw_pattern(image: Image.Image, pattern: str, colour: Colour, rng: np.random.Generator) -> None:
    """Print `pattern` in `colour` over the whole of `image`, in place.

    Args:
        pattern: One of `catalogue.PATTERNS`.
        rng: Random generator for pitch and angle.
    """
    draw = ImageDraw.Draw(image)
    width, height = image.size
    pitch = float(rng.uniform(0.07, 0.16)) * height
    phase = float(rng.random())
    if pattern == "stripes":
        for place in np.arange(-phase * pitch, width, pitch):
            draw.rectangle((place, 0, place + pitch * 0.45, height), fill=colour)
    elif pattern == "dots":
        radius = pitch * 0.26
        for row, y in enumerate(np.arange(0, height + pitch, pitch * 0.8)):
            for x in np.arange(pitch * 0.5 * (row % 2), width + pitch, pitch):
                draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    elif pattern == "chevrons":
        for y in np.arange(-pitch, height + pitch, pitch):
            points = [
                (x, y + pitch * 0.5 * (step % 2)) for step, x in enumerate(np.arange(0, width + pitch, pitch))
            ]
            draw.line(points, fill=colour, width=max(2, int(pitch * 0.24)))
    elif pattern == "rays":
        centre = (width * 0.5, height * float(rng.uniform(0.3, 0.75)))
        reach = width + height
        count = int(rng.integers(9, 18))
        for ray in range(count):
            start = 2 * math.pi * (ray + phase) / count
            ends = [
                (centre[0] + reach * math.cos(turn), centre[1] + reach * math.sin(turn))
                for turn in (start, start + math.pi / count)
            ]
            draw.polygon((centre, *ends), fill=colour)
    elif pattern == "waves":
        for y in np.arange(-pitch, height + pitch, pitch):
            points = [
                (x, y + 0.28 * pitch * math.sin(6.3 * (x / (pitch * 1.7) + phase)))
                for x in range(0, width + 8, 6)
            ]
            draw.line(points, fill=colour, width=max(2, int(pitch * 0.3)))
    elif pattern == "fade":
        ramp = np.linspace(0.0, 255.0, height).astype(np.uint8)[:, None].repeat(width, axis=1)
        image.paste(
            Image.new("RGB", image.size, colour), mask=Image.fromarray(ramp if phase < 0.5 else ramp[::-1])
        )
    elif pattern == "checks":
        for row, y in enumerate(np.arange(0, height, pitch)):
            for x in np.arange(pitch * (row % 2), width, 2 * pitch):
                draw.rectangle((x, y, x + pitch - 1, y + pitch - 1), fill=colour)
    elif pattern == "leaves":
        for _ in range(int(26 * width / height) + 8):
            x, y, turn = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0, math.pi)
            points = []
            for step in range(12):
                angle = step * math.pi / 6
                along, across = pitch * 0.55 * math.cos(angle), pitch * 0.2 * math.sin(angle)
                right = along * math.cos(turn) - across * math.sin(turn)
                down = along * math.sin(turn) + across * math.cos(turn)
                points.append((x + right, y + down))
            draw.polygon(points, fill=colour)
    elif pattern == "diagonal":
        for place in np.arange(-height, width, pitch * 1.3):
            draw.line((place, height, place + height, 0), fill=colour, width=max(2, int(pitch * 0.4)))


def draw_zone(image: Image.Image, zone: str, colour: Colour, rng: np.random.Generator) -> None:
    """Fill the area for the flavour, in place.

    Args:
        zone: One of `catalogue.ZONES`.
        rng: Random generator for the position of the area's edge.
    """
    draw = ImageDraw.Draw(image)
    width, height = image.size
    edge = float(rng.uniform(0.5, 0.64))
    curve = float(rng.uniform(-0.09, 0.09))
    if zone == "band":
        draw.rectangle((0, edge * height, width, (edge + 0.24) * height), fill=colour)
    elif zone == "lower":
        points = [
            (x, height * (edge + curve * math.cos((x / width - 0.5) * 3.1))) for x in range(0, width + 8, 6)
        ]
        draw.polygon([*points, (width, height), (0, height)], fill=colour)
    elif zone == "slant":
        lean = 0.16 if curve > 0 else -0.16
        draw.polygon(
            ((0, (edge - lean) * height), (width, (edge + lean) * height), (width, height), (0, height)),
            fill=colour,
        )
    elif zone == "disc":
        radius = min(width * 0.46, height * 0.26)
        centre = (width / 2, height * (edge + 0.08))
        box = (centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius)
        draw.ellipse(box, fill=colour)
        inner = radius * 0.92
        ring = (centre[0] - inner, centre[1] - inner, centre[0] + inner, centre[1] + inner)
        draw.ellipse(ring, outline=(255, 255, 255), width=max(1, height // 160))
    elif zone == "column":
        left = 0.0 if curve > 0 else 0.68
        draw.rectangle((left * width, 0, (left + 0.32) * width, height), fill=colour)
    elif zone == "frame":
        line = int(0.055 * height)
        draw.rectangle((0, 0, width - 1, height - 1), outline=colour, width=line)
        draw.rectangle((0, height * 0.82, width, height), fill=colour)
    elif zone == "arch":
        draw.pieslice(
            (width * 0.06, height * (edge - 0.18), width * 0.94, height * 1.5), 180, 360, fill=colour
        )
    else:  # "ground": the flavour is the package's colour
        draw.rectangle((0, 0, width, height), fill=colour)
