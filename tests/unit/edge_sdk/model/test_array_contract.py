"""Contracts of arrays: JSON, checks of samples, .npy files, the embedding space, and golden inputs."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sdk.errors import InputError, ModelCardError, ModelContractError
from edge_sdk.model.array_contract import ArrayContract, array_contract, image_contract, read_contract
from edge_sdk.model.array_file import read_array
from edge_sdk.model.card import InputContract, ModelCard
from edge_sdk.model.golden import generator_of, golden_input
from edge_sdk.model.model_id import space_id

MEL = ArrayContract((8, 5), low=-10.0, high=5.0)
IMAGE = InputContract(16, 16, "rgb", (0.0,) * 3, (1.0,) * 3)
JSON = {"kind": "array", "shape": [8, 5], "dtype": "float32", "range": [-10.0, 5.0]}


def npy(values: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values, **options)
    return stream.getvalue()


def test_a_contract_is_read_as_it_was_written() -> None:
    assert MEL.to_json() == JSON
    assert read_contract(JSON) == MEL
    assert read_contract({**JSON, "dtype": "int16", "range": [-32768, 32767]}).dtype == "int16"
    assert read_contract(IMAGE.to_json()) == IMAGE
    assert "kind" not in IMAGE.to_json()
    assert MEL.describe() == "array (8, 5) float32, -10..5"
    assert ArrayContract((3,)).describe() == "array (3,) float32, -1..1"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "sound"}, "input kind: expected 'array', or no kind for images, found 'sound'"),
        ({"shape": []}, "input shape: expected 1 to 4 positive whole numbers"),
        ({"shape": [1] * 5}, "input shape"),
        ({"shape": [8, 0]}, "input shape"),
        ({"shape": [8, True]}, "input shape"),
        ({"shape": [1 << 20, 8]}, "at most 4194304 values"),
        ({"shape": "8x5"}, "input shape: expected a list"),
        ({"dtype": "float64"}, "input dtype: expected one of float32, int16, int8, uint8, found 'float64'"),
        ({"range": [1]}, "input range: expected [low, high]"),
        ({"range": "ab"}, "input range: expected [low, high]"),
        ({"range": [5, 5]}, "input range: expected finite low < high"),
        ({"range": [float("nan"), 5]}, "input range: expected finite low < high"),
        ({"range": [0, 1e40]}, "input range: expected finite low < high"),
        (
            {"dtype": "int8", "range": [0, 200]},
            "input range: expected values of int8, -128..127, found 0..200",
        ),
        ({"color": "rgb"}, "expected shape, dtype and range for arrays, found color"),
    ],
)
def test_a_malformed_contract_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelCardError) as caught:
        read_contract({**JSON, **change})
    assert message in str(caught.value)


def test_a_card_carries_either_kind(make_card: Any) -> None:
    card = make_card(input=MEL)
    assert ModelCard.from_bytes(card.to_bytes()).input == MEL


def test_each_kind_is_asked_for() -> None:
    assert image_contract(IMAGE) is IMAGE
    assert array_contract(MEL) is MEL
    with pytest.raises(
        ModelContractError, match=r"embedder of images, found an embedder of arrays of shape \(8, 5\)"
    ):
        image_contract(MEL)
    with pytest.raises(
        ModelContractError, match="embedder of arrays, found an embedder of images, 16x16 rgb"
    ):
        array_contract(IMAGE)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "uint8", "int8", ">f4", ">i2"])
def test_numbers_of_any_width_are_converted(dtype: str) -> None:
    values = np.arange(40).reshape(8, 5) % 5
    sample = MEL.sample(values.astype(dtype))
    assert sample.dtype == np.float32
    assert sample.dtype.isnative
    np.testing.assert_array_equal(sample, values)


def test_values_beyond_the_range_by_rounding_become_its_ends() -> None:
    values = np.full((8, 5), 5.0 + 15 * 2.0**-17)
    values[0, 0] = -10 - 15 * 2.0**-17
    sample = MEL.sample(values)
    assert (sample.min(), sample.max()) == (-10, 5)


@pytest.mark.parametrize("wrong", [5.001, -10.001, np.inf, -np.inf, np.nan])
def test_a_value_outside_the_range_is_refused(wrong: float) -> None:
    values = np.zeros((8, 5))
    values[7, 4] = wrong
    with pytest.raises(InputError, match=r"clip\.npy: expected values in -10\.\.5, found "):
        MEL.sample(values, name="clip.npy")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((5, 8)), r"expected shape \(8, 5\), found \(5, 8\)"),
        (np.zeros((1, 8, 5)), r"expected shape \(8, 5\), found \(1, 8, 5\)"),
        (np.zeros((8, 5), complex), "expected float32 values, found complex128"),
        (np.zeros((8, 5), bool), "expected float32 values, found bool"),
        (np.full((8, 5), "1"), "expected float32 values, found <U1"),
        (np.full((8, 5), None), "expected float32 values, found object"),
    ],
)
def test_a_sample_of_another_form_is_refused(values: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        MEL.sample(values)


def test_floats_are_no_integers() -> None:
    sound = ArrayContract((4,), "int16", -32768, 32767)
    assert sound.sample(np.array([1, 2, 3, -32768], np.int64)).dtype == np.int16
    with pytest.raises(InputError, match="expected int16 values, found float32"):
        sound.sample(np.zeros(4, np.float32))
    with pytest.raises(InputError, match=r"expected values in -32768\.\.32767, found 0\.\.40000"):
        sound.sample(np.array([0, 0, 0, 40000]))


def test_a_file_is_read(tmp_path: Path) -> None:
    values = np.linspace(-10, 5, 40).reshape(8, 5)
    for array in (values, np.asfortranarray(values), values.astype(">f8")):
        np.save(tmp_path / "a.npy", array)
        np.testing.assert_array_equal(read_array(tmp_path / "a.npy", MEL), values.astype(np.float32))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a .npy file"),
        (b"PK\3\4" + bytes(60), "expected a .npy file"),
        (npy(np.zeros((8, 5)))[:-1], "expected a .npy file"),
        (npy(np.array({"a": 1}), allow_pickle=True), r"expected shape \(8, 5\), found \(\)"),
        (npy(np.full((8, 5), None), allow_pickle=True), "expected float32 values, found object"),
        (npy(np.zeros((8, 5), [("a", "f4")])), "expected float32 values"),
        (npy(np.zeros((8, 6))), r"expected shape \(8, 5\), found \(8, 6\)"),
        # A header that promises more memory than there is.
        (npy(np.zeros((1, 1))).replace(b"(1, 1), }      ", b"(1 << 60, 5), }"), "expected a .npy file"),
        (
            npy(np.zeros((1, 1))).replace(b"(1, 1), }         ", b"(99999999999, 9), }"),
            r"found \(99999999999, 9\)",
        ),
    ],
)
def test_another_file_gives_one_error(content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_array(content, MEL, name="clip.npy")


def test_a_missing_and_a_huge_file_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_array(tmp_path / "none.npy", MEL)
    np.save(tmp_path / "a.npy", np.zeros((8, 5)))
    monkeypatch.setattr("edge_sdk.model.array_file.MAX_FILE_BYTES", 100)
    with pytest.raises(InputError, match="found a larger one"):
        read_array(tmp_path / "a.npy", MEL)


def test_every_part_of_the_contract_is_part_of_the_space() -> None:
    network = "ab" * 32
    others = [
        MEL,
        ArrayContract((5, 8), low=-10.0, high=5.0),
        ArrayContract((8, 5), low=-9.0, high=5.0),
        ArrayContract((8, 5), low=-10.0, high=6.0),
        ArrayContract((8, 5), "int8", low=-10, high=5),
        IMAGE,
    ]
    assert len({space_id(network, contract) for contract in others}) == len(others)
    zero = ArrayContract((2,), low=0.0), ArrayContract((2,), low=-0.0), ArrayContract((2,), low=0)
    assert len({space_id(network, contract) for contract in zero}) == 1
    assert space_id(network, MEL).hex() == SPACE


SPACE = "2cefeb41bf8c80c78a9d8befad3dd9b49c3730842ab6a5e7a7315d0678473dcd"


@pytest.mark.parametrize(
    "contract",
    [
        MEL,
        ArrayContract((3000,), "int16", -32768, 32767),
        ArrayContract((3, 20, 6), low=2.0, high=50.0),
        ArrayContract((2, 3, 8, 4), "uint8", 0, 255),
    ],
)
def test_golden_inputs_are_valid_samples(contract: ArrayContract) -> None:
    samples = [golden_input(contract, seed) for seed in range(1, 9)]
    for sample in samples:
        assert sample.dtype == contract.dtype
        np.testing.assert_array_equal(contract.sample(sample), sample)
    assert len({sample.tobytes() for sample in samples}) == len(samples)
    # Seeds differ in how much of the range they use.
    spans = [float(np.ptp(sample.astype(np.float64))) for sample in samples[:4]]
    assert max(spans) > 20 * min(spans)
    assert (generator_of(contract), generator_of(IMAGE)) == ("smooth-arrays/1", "smooth-fields/1")


def test_a_golden_input_by_its_formula() -> None:
    from edge_sdk.model.golden import smooth_field

    field = smooth_field((8, 5, 1), 6).astype(np.float64).reshape(8, 5)
    expected = (1 - 1 / 16) * 2.0 + (2.0 + 48 * field / 255) / 16
    contract = ArrayContract((8, 5), low=2.0, high=50.0)
    np.testing.assert_allclose(golden_input(contract, 6), expected, rtol=1e-6)
