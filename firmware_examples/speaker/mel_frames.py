"""Mel frames of speech for the GE2E speaker encoder, in numpy: 160 frames of 10 ms with 40 mel bands each.

The bands are those of Slaney's Auditory Toolbox (1998) over the power spectrum of 25 ms Hann windows. Quiet speech is
raised to -30 dBFS, and frames without speech are cut out.
"""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

RATE, WINDOW, STEP = 16000, 400, 160
FRAMES, MELS = 160, 40
#: Range of the input contract; louder bands are limited.
LOW, HIGH = 0.0, 64.0
_LEVEL = 10 ** (-30 / 20)
_SILENCE = 10 ** (-30 / 10)  # share of the loudest frames' power


def read_wav(path: Path) -> tuple[np.ndarray, int]:
    """Read a mono WAV file with 16-bit samples: values in -1..1, and the sampling rate."""
    with wave.open(str(path), "rb") as file:
        if file.getnchannels() != 1 or file.getsampwidth() != 2:
            raise ValueError(f"{path}: expected mono with 16 bits")
        return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768, file.getframerate()


def windows(samples: np.ndarray, rate: int) -> list[np.ndarray]:
    """Return the mel frames of every whole window of speech, each of shape (160, 40), float32."""
    samples = _resample(samples, rate)
    level = np.sqrt(np.mean(samples**2)) if samples.size else 0.0
    if 0 < level < _LEVEL:
        samples = samples * (_LEVEL / level)
    frames = mel_frames(samples)
    power = frames.sum(axis=1)
    frames = frames[power > _SILENCE * np.quantile(power, 0.95)]
    return [
        frames[start : start + FRAMES].clip(LOW, HIGH).astype(np.float32)
        for start in range(0, len(frames) - FRAMES + 1, FRAMES)
    ]


def mel_frames(samples: np.ndarray) -> np.ndarray:
    """Return the power of each mel band in each frame, shape (n, 40)."""
    padded = np.pad(samples, WINDOW // 2)
    pieces = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::STEP]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    power = np.abs(np.fft.rfft(pieces * hann, axis=1)) ** 2
    return power @ _filters().T


def _filters() -> np.ndarray:
    """Return the weights of the bands, shape (40, 201): triangles of unit area, linear below 1 kHz, logarithmic above."""
    top = 15 + 27 * np.log(RATE / 2 / 1000) / np.log(6.4)
    mel = np.linspace(0, top, MELS + 2)
    centres = np.where(mel < 15, mel * 200 / 3, 1000 * np.exp(np.log(6.4) / 27 * (mel - 15)))
    places = np.fft.rfftfreq(WINDOW, 1 / RATE)
    widths = np.diff(centres)[:, None]
    slopes = places - centres[:, None]
    rising, falling = slopes[:-2] / widths[:-1], -slopes[2:] / widths[1:]
    area = 2 / (centres[2:] - centres[:-2])
    return np.minimum(rising, falling).clip(0) * area[:, None]


def _resample(samples: np.ndarray, rate: int) -> np.ndarray:
    """Change the sampling rate to 16 kHz through the Fourier transform."""
    if rate == RATE or not samples.size:
        return samples
    count = round(len(samples) * RATE / rate)
    spectrum = np.fft.rfft(samples)
    kept = np.zeros(count // 2 + 1, complex)
    size = min(len(spectrum), len(kept))
    kept[:size] = spectrum[:size]
    return np.fft.irfft(kept, count) * (count / len(samples))
