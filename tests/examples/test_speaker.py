"""The mel front end of the speaker example gives whole windows of speech at a known level."""

from __future__ import annotations

import importlib.util
import wave
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

EXAMPLE = Path(__file__).parents[2] / "firmware_examples/speaker/mel_frames.py"


@pytest.fixture(scope="module")
def mel() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mel_frames", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_a_tone_is_in_its_band_at_any_sampling_rate(mel: ModuleType, rate: int) -> None:
    seconds = np.arange(int(4 * rate)) / rate
    bands = []
    for hertz in (300, 1000, 3000):
        (first, *rest) = mel.windows(0.3 * np.sin(2 * np.pi * hertz * seconds), rate)
        assert first.shape == (160, 40) and first.dtype == np.float32 and len(rest) == 1
        bands.append(int(first.mean(axis=0).argmax()))
    assert bands == sorted(bands) and len(set(bands)) == 3


def test_silence_is_cut_and_quiet_speech_is_raised(mel: ModuleType) -> None:
    rng = np.random.default_rng(1)
    speech = rng.normal(0, 0.1, 32000)
    assert mel.windows(np.zeros(32000), 16000) == mel.windows(np.zeros(10), 16000) == []
    padded = np.concatenate([np.zeros(40000), speech, np.zeros(40000)])
    assert len(mel.windows(padded, 16000)) == len(mel.windows(speech, 16000)) == 1
    quiet, raised = mel.windows(speech / 1000, 16000)[0], mel.windows(speech * (10**-1.5 / 0.1), 16000)[0]
    assert quiet == pytest.approx(raised, rel=0.05, abs=1e-5)


def test_other_recordings_are_refused(mel: ModuleType, tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "stereo.wav"), "wb") as file:
        file.setparams((2, 2, 16000, 0, "NONE", ""))
    with pytest.raises(ValueError, match="mono with 16 bits"):
        mel.read_wav(tmp_path / "stereo.wav")
