"""Errors of every tensor of real float and int8 networks, and occlusion maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from converters.analyze.layer_errors import measure_layer_errors
from converters.analyze.occlusion import Attention, OcclusionMap, make_attention, make_occlusion_map
from converters.data.calibration import real_inputs
from converters.graph.network import Network
from converters.quantize.ai_edge_quantizer import quantize_static
from converters.quantize.statistics import TensorRange
from edge_sdk.errors import InputError
from edge_sdk.model.card import InputContract
from edge_sdk.runtime.backends.litert import load_interpreter_class
from tests.networks import CONTRACT, NetworkBuilder, crops, tiny


def int8(network: Network, pixels: np.ndarray, contract: InputContract = CONTRACT) -> Network:
    """Quantize a network with the true minimum and maximum of every tensor."""
    graph = network.edit()
    names = [graph.name(index) for index in graph.computed()]
    ranges = {graph.name(graph.inputs[0]): TensorRange(*contract.real_range)}
    graph.set_outputs(graph.computed())
    interpreter = load_interpreter_class()(model_content=graph.to_bytes(), num_threads=1)
    interpreter.allocate_tensors()
    seen: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for position in range(len(pixels)):
        inputs = real_inputs(pixels[position : position + 1], contract)
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], inputs)
        interpreter.invoke()
        for name, detail in zip(names, interpreter.get_output_details(), strict=True):
            values = interpreter.get_tensor(detail["index"])
            seen[name].append(np.array([values.min(), values.max()]))
    for name, extremes in seen.items():
        ranges[name] = TensorRange(float(np.min(extremes)), float(np.max(extremes)))
    return quantize_static(network, ranges)


def test_every_tensor_of_the_float_network_has_its_row() -> None:
    network, pixels = tiny(), crops(8)
    errors = measure_layer_errors(network, int8(network, pixels), CONTRACT, pixels[:4])
    graph = network.edit()
    assert [t.tensor for t in errors.tensors] == [graph.name(i) for i in graph.computed()]
    assert [t.position for t in errors.tensors] == list(range(len(errors.tensors)))
    assert (errors.images, errors.unmatched) == (4, 0)
    for tensor in errors.tensors:
        assert tensor.sqnr_db is not None and 15 < tensor.sqnr_db < 70
        assert 0.98 < tensor.cosine <= 1
    assert errors.to_json()["tensors"][0]["operator"] == "CONV_2D"


def test_a_network_against_itself_differs_nowhere() -> None:
    errors = measure_layer_errors(tiny(), tiny(), CONTRACT, crops(2))
    assert all(
        t.sqnr_db is None and t.rounding_db is None and t.cosine == pytest.approx(1) for t in errors.tensors
    )
    assert errors.worst() == ()


def test_one_wide_channel_takes_the_steps_from_the_rest() -> None:
    net = NetworkBuilder()
    wide = net.constant(np.array([100.0] + [1.0] * 7, np.float32).reshape(1, 1, 1, 8))
    culprit = net.binary("MUL", net.conv(net.input, 8), wide)
    narrow = net.constant(np.array([0.01] + [1.0] * 7, np.float32).reshape(1, 1, 1, 8))
    network = net.finish(net.embedding(net.binary("MUL", culprit, narrow)))
    pixels = crops(8)
    errors = measure_layer_errors(network, int8(network, pixels), CONTRACT, pixels[:4])
    name = net.graph.name(culprit)
    spans = {t.tensor: t.channel_steps for t in errors.tensors}
    assert spans[name] is not None and spans[name] < 8
    order = [t.tensor for t in errors.tensors]
    steepest = errors.steepest()
    assert steepest is not None and order.index(steepest[1].tensor) == order.index(name) + 1


def test_networks_without_a_common_name_give_no_rows() -> None:
    network = tiny().edit()
    for index in network.computed():
        network.tensors[index].name = b"other" + str(index).encode()
    errors = measure_layer_errors(tiny(), Network.of(network), CONTRACT, crops(1))
    assert errors.tensors == () and errors.unmatched == 5 and errors.steepest() is None


def test_no_image_is_refused() -> None:
    with pytest.raises(InputError, match="expected at least one image"):
        measure_layer_errors(tiny(), tiny(), CONTRACT, crops(1)[:0])


def test_progress_is_reported() -> None:
    steps: list[tuple[int, int]] = []
    measure_layer_errors(tiny(), tiny(), CONTRACT, crops(3), progress=lambda *step: steps.append(step))
    assert steps == [(1, 3), (2, 3), (3, 3)]


def test_a_map_covers_the_image() -> None:
    occlusion = make_occlusion_map(tiny(), CONTRACT, crops(1)[0], patch_px=6, stride_px=4)
    assert occlusion.falls.shape == (4, 4)
    assert (occlusion.falls >= 0).all() and occlusion.falls.max() > 0


def test_a_patch_where_the_image_is_grey_already_costs_nothing() -> None:
    crop = crops(1)[0]
    crop[:, :8] = 128
    falls = make_occlusion_map(tiny(), CONTRACT, crop, patch_px=4, stride_px=4).falls
    assert falls[:, :2].max() < 1e-6 < falls[:, 2:].max()


@pytest.mark.parametrize(("patch_px", "stride_px"), [(4, 5), (17, 4), (4, 0)])
def test_a_patch_that_does_not_fit_is_refused(patch_px: int, stride_px: int) -> None:
    with pytest.raises(InputError, match="stride <= patch"):
        make_occlusion_map(tiny(), CONTRACT, crops(1)[0], patch_px=patch_px, stride_px=stride_px)


def test_a_crop_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match="expected a crop"):
        make_occlusion_map(tiny(), CONTRACT, crops(1, (20, 20, 3))[0])


def test_maps_of_two_networks_are_compared() -> None:
    contract = InputContract(32, 32, "rgb", (127.5,) * 3, (128.0,) * 3)
    net = NetworkBuilder((1, 32, 32, 3))
    network = net.finish(net.embedding(net.conv(net.input, 8)))
    study = make_attention(
        (("a", network), ("b", network)), contract, crops(1, (32, 32, 3))[0], image="x.png"
    )
    assert study.agreement() == pytest.approx(1)
    assert [m["network"] for m in study.to_json()["maps"]] == ["a", "b"]


def test_a_flat_map_agrees_with_nothing() -> None:
    flat = OcclusionMap(np.zeros((2, 2), np.float32), 24, 8)
    assert Attention("x", crops(1)[0], (("a", flat), ("b", flat))).agreement() is None
    assert Attention("x", crops(1)[0], (("a", flat),)).agreement() is None


@pytest.mark.real
def test_a_face_network_shows_the_tensor_before_its_global_depthwise(shared: Path) -> None:
    """The last 1x1 convolution of this network and its PReLU have a few channels far wider than the others."""
    from converters.data.image_set import ImageSet, evenly
    from converters.sources.float_model import canonical
    from converters.sources.read import read_source

    contract = InputContract(112, 112, "rgb", (0.0,) * 3, (1.0,) * 3)
    images = ImageSet.open(shared / "faces" / "lfw_calibration_aligned112.tar")
    pixels = images.crops(contract, names=evenly(images.names, 24)).pixels
    inputs = real_inputs(pixels[:2], contract)
    source = read_source(shared / "zoo" / "mobilefacenet_y1_float32.tflite", contract=contract, inputs=inputs)
    network = canonical(source, contract, inputs).network
    integer = int8(network, pixels, contract)
    errors = measure_layer_errors(network, integer, contract, pixels[:4])
    assert {t.tensor for t in errors.worst(2)} == {"conv_6sep_batchnorm/add_1", "add_44"}
    steepest = errors.steepest()
    assert steepest is not None and steepest[1].tensor == "conv_6dw7_7_batchnorm/add_1"
