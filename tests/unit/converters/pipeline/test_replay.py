"""A saved recipe is replayed without images: the same bytes, or a report of the difference, or an error that names the cause."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from converters.cli import main
from converters.errors import ContractRefusedError, ConversionError, OptionsError
from converters.graph.graph import indices
from converters.graph.network import Network
from converters.pipeline.convert import convert
from converters.pipeline.options import ConversionOptions, Distillation, Plain, Replay
from converters.pipeline.replay import notes_on_sources
from converters.quantize.recipe import shipped
from edge_sdk.model.model_file import ModelFile
from tests.networks import CONTRACT, NetworkBuilder, crops


def embedder(seed: int = 0) -> Network:
    """Build a network with what statistics are recorded for: groups to equalize, PReLUs, biases."""
    net = NetworkBuilder(seed=seed)
    x = net.prelu(net.conv(net.input, 8), np.linspace(-0.5, 2, 8))
    x = net.prelu(net.conv(x, 16), np.linspace(0.1, 0.6, 16))
    return net.finish(net.embedding(net.conv(x, 16)))


def changed_weights(network: Network, change: Callable[[np.ndarray], np.ndarray]) -> Network:
    """Change the weights of every convolution."""
    graph = network.edit()
    for operator in graph.operators:
        if graph.op_name(operator) == "CONV_2D":
            index = indices(operator.inputs)[1]
            weights = graph.constant(index)
            assert weights is not None
            graph.set_constant(index, change(weights).astype(np.float32))
    return Network.of(graph)


def test_a_recipe_of_another_file_is_named_before_the_work(tmp_path: Path) -> None:
    source, recipe = tmp_path / "net.tflite", tmp_path / "recipe.json"
    source.write_bytes(embedder().data)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()

    def notes(value: dict[str, Any]) -> list[str]:
        recipe.write_text(json.dumps({**shipped("cpu_int8").to_json(), "source": value}))
        return notes_on_sources(
            ConversionOptions(source, CONTRACT, tmp_path, tmp_path, quantization=Replay(recipe))
        )

    assert notes({"file": "net.tflite", "sha256": digest}) == []
    assert notes({}) == []
    (note,) = notes({"file": "other.onnx", "sha256": "f" * 64})
    assert "was saved for another file" in note
    assert f"other.onnx, SHA-256 ffffffffffff..., found {digest[:12]}" in note


TARGETS = ("cpu", "edgetpu", "mobile")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Convert a network for three targets, with all steps that statistics are recorded for; then delete the images."""
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "crops").mkdir()
    for number, pixels in enumerate(crops(36)):
        Image.fromarray(pixels).save(folder / "crops" / f"{number:02}.png")
    (folder / "net.tflite").write_bytes(embedder().data)
    recipes = []
    for name in ("cpu_int8", "edgetpu_int8", "mobile_int8"):
        plain = shipped({"edgetpu_int8": "full_int8"}.get(name, "cpu_int8"))
        recipe = replace(
            plain, name=name, target=name.partition("_")[0], equalize="all", bias_correction=True, ranges="mse",
            partitions=plain.partitions if name == "cpu_int8" else 0,
        )  # fmt: skip
        recipes.append(folder / f"{name}.json")
        recipes[-1].write_text(json.dumps(recipe.to_json()))
    options = ConversionOptions(
        folder / "net.tflite",
        CONTRACT,
        folder / "crops",
        folder / "first",
        TARGETS,
        quantization=Replay(recipes),
    )
    convert(options)
    shutil.rmtree(folder / "crops")
    return folder


def recipe_files(folder: Path, targets: tuple[str, ...] = TARGETS) -> list[Path]:
    return [folder / "first" / f"net.{target}_int8.recipe.json" for target in targets]


def replay(recorded: Path, output: Path, *, model: Path | None = None, **options: Any) -> Any:
    values: dict[str, Any] = {
        "contract": None,
        "calibration": None,
        "quantization": Replay(recipe_files(recorded)),
        **options,
    }
    values.setdefault("targets", TARGETS)
    return convert(ConversionOptions(model=model or recorded / "net.tflite", output=output, **values))


def test_a_replay_without_images_gives_the_same_files(recorded: Path, tmp_path: Path) -> None:
    result = replay(recorded, tmp_path / "again", targets=TARGETS[::-1])
    assert all(check.same_bytes and check.same_float for check in result.replays.values())
    for target in TARGETS:
        for suffix in ("tflite", "recipe.json"):
            name = f"net.{target}_int8.{suffix}"
            assert (tmp_path / "again" / name).read_bytes() == (recorded / "first" / name).read_bytes()
    text = result.to_text()
    for target in TARGETS:
        assert f"{target}_int8 replayed: same bytes as recorded" in text
    assert "as measured at recording on" in text and "generated inputs" in text
    report = json.loads((tmp_path / "again" / "net.report.json").read_text())
    assert report["replays"]["cpu_int8"]["same_bytes"] is True
    again = replay(
        recorded,
        tmp_path / "third",
        targets=("cpu",),
        quantization=Replay(tmp_path / "again" / "net.cpu_int8.recipe.json"),
    )
    assert again.replays["cpu_int8"].same_bytes


def test_a_card_contains_the_recipe_without_statistics(recorded: Path) -> None:
    card = ModelFile.open(recorded / "first" / "net.cpu_int8.tflite").card
    assert "statistics" not in card.recipe and card.calibration["images"] == 24


def test_recorded_outputs_that_would_allow_any_network_are_refused(recorded: Path, tmp_path: Path) -> None:
    value = json.loads(recipe_files(recorded, ("cpu",))[0].read_text())
    output = value["statistics"]["outputs"]["embedding"]
    opposite = -np.frombuffer(base64.b64decode(output["float32"]), "<f4")
    output["float32"] = base64.b64encode(opposite.tobytes()).decode()
    edited = tmp_path / "edited.recipe.json"
    edited.write_text(json.dumps(value))
    with pytest.raises(ConversionError, match="expected recorded outputs of an int8 network"):
        replay(recorded, tmp_path / "out", targets=("cpu",), quantization=Replay(edited))
    assert not (tmp_path / "out").exists()


def test_the_same_function_with_other_bytes_is_accepted_and_reported(recorded: Path, tmp_path: Path) -> None:
    """Imitate another tool that folds constants with other rounding errors."""
    random = np.random.default_rng(0)
    model = tmp_path / "net.tflite"
    model.write_bytes(
        changed_weights(embedder(), lambda w: w * (1 + 1e-6 * random.standard_normal(w.shape))).data
    )
    result = replay(
        recorded,
        tmp_path / "out",
        model=model,
        targets=("cpu",),
        quantization=Replay(recipe_files(recorded, ("cpu",))),
    )
    check = result.replays["cpu_int8"]
    assert not check.same_float and not check.same_bytes and check.passed
    text = result.to_text()
    assert (
        "cpu_int8 replayed: the float network differs from the recorded one, and so do the int8 bytes; on 16"
        in text
    )
    assert "LSB, lowest cosine" in text and "other bytes than the recorded one" in result.verdict()
    card = ModelFile.open(tmp_path / "out" / "net.cpu_int8.tflite").card
    assert card.fidelity["generated"] is True and card.fidelity["images"] == 16
    page = (tmp_path / "out" / "net.report.html").read_text()
    assert "Replay of cpu_int8" in page and "generated inputs" in page
    assert "those of the conversion that recorded the recipe" in page


def test_other_weights_are_refused_and_nothing_is_written(
    recorded: Path, tmp_path: Path, capsys: Any
) -> None:
    model = tmp_path / "net.tflite"
    random = np.random.default_rng(0)
    model.write_bytes(
        changed_weights(embedder(), lambda w: w * (1 + 0.3 * random.standard_normal(w.shape))).data
    )
    recipe = recipe_files(recorded, ("cpu",))[0]
    code = main(["convert", str(model), "--recipe", str(recipe), "--output", str(tmp_path / "out")])
    captured = capsys.readouterr()
    assert code == 1 and captured.out == ""
    assert (
        "cpu_int8: expected a replayed network like the recorded one; on 16 generated inputs" in captured.err
    )
    assert "hint: the float network is another one" in captured.err
    assert not (tmp_path / "out").exists()


def test_a_recipe_of_another_network_is_refused(recorded: Path, tmp_path: Path) -> None:
    net = NetworkBuilder()
    model = tmp_path / "net.tflite"
    model.write_bytes(net.finish(net.embedding(net.conv(net.conv(net.input, 4), 8))).data)
    with pytest.raises(
        ConversionError,
        match=r"net.cpu_int8.recipe.json: recipe: scales: .*statistics are those of another network",
    ):
        replay(
            recorded,
            tmp_path / "out",
            model=model,
            targets=("cpu",),
            quantization=Replay(recipe_files(recorded, ("cpu",))),
        )


def test_the_command_replays_and_states_it_as_json(recorded: Path, tmp_path: Path, capsys: Any) -> None:
    recipes = [part for path in recipe_files(recorded) for part in ("--recipe", str(path))]
    arguments = ["convert", str(recorded / "net.tflite"), "--target", ",".join(TARGETS), "--json"]
    assert main([*arguments, *recipes, "--output", str(tmp_path / "out")]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {name: check["same_bytes"] for name, check in report["replays"].items()} == {
        f"{target}_int8": True for target in TARGETS
    }
    assert {a["recipe"]: a["basis"] for a in report["artefacts"]}["cpu_int8"] == "recorded"
    assert {a["recipe"]: a["basis"] for a in report["artefacts"]}["float32"] == "generated"


def test_an_artefact_without_statistics_is_named(recorded: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ConversionError, match=r"for every int8 file; edgetpu_int8 has no recipe file$"
    ) as caught:
        replay(
            recorded,
            tmp_path / "out",
            targets=("cpu", "edgetpu"),
            quantization=Replay(recipe_files(recorded, ("cpu",))),
        )
    assert "--recipe once for each int8 file" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"statistics": None}, "cpu_int8 has no statistics"),
        ({"recovery_steps": 100}, "cpu_int8 is distilled: training makes new weights, and needs images"),
    ],
)
def test_a_recipe_that_needs_images_is_refused_with_the_reason(
    recorded: Path, tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    value = {**json.loads(recipe_files(recorded, ("cpu",))[0].read_text()), **changes}
    path = tmp_path / "x.recipe.json"
    path.write_text(json.dumps({key: item for key, item in value.items() if item is not None}))
    with pytest.raises(ConversionError, match=reason):
        replay(recorded, tmp_path / "out", targets=("cpu",), quantization=Replay(path))


def test_a_contradicting_contract_is_refused(recorded: Path, tmp_path: Path, capsys: Any) -> None:
    recipe = recipe_files(recorded, ("cpu",))[0]
    arguments = [
        "convert",
        str(recorded / "net.tflite"),
        "--recipe",
        str(recipe),
        "--output",
        str(tmp_path / "out"),
    ]
    assert main([*arguments, "--size", "16x16", "--color", "bgr", "--mean", "127.5", "--scale", "128"]) == 3
    assert "expected the input contract of its recipe, 16x16 rgb" in capsys.readouterr().err
    assert main([*arguments, "--size", "16x16", "--color", "rgb", "--mean", "127.5", "--scale", "128"]) == 0
    with pytest.raises(SystemExit) as caught:
        main([*arguments, "--size", "16x16"])
    assert caught.value.code == 2


def test_images_are_measured_again_if_both_are_given(recorded: Path, tmp_path: Path) -> None:
    (tmp_path / "crops").mkdir()
    for number, pixels in enumerate(crops(36, seed=9)):
        Image.fromarray(pixels).save(tmp_path / "crops" / f"{number:02}.png")
    recipes = Replay(recipe_files(recorded, ("cpu",)))
    result = replay(
        recorded, tmp_path / "out", targets=("cpu",), quantization=recipes, calibration=tmp_path / "crops"
    )
    assert not result.replays and result.artefacts[-1].basis == "images"
    digests = [
        json.loads((folder / "net.cpu_int8.recipe.json").read_text())["statistics"]["int8_sha256"]
        for folder in (recorded / "first", tmp_path / "out")
    ]
    assert digests[0] != digests[1]


def test_options_that_leave_nothing_to_calibrate_with_are_refused(recorded: Path, tmp_path: Path) -> None:
    model, recipes = recorded / "net.tflite", Replay(recipe_files(recorded))
    for contract, plan, distillation, message in (
        (CONTRACT, Plain(), None, "calibration: expected calibration images, or a recipe"),
        (None, Plain(), None, "contract: expected an input contract, or a recipe"),
        (None, recipes, Distillation(1), "distillation: expected calibration images to train on"),
    ):
        with pytest.raises(OptionsError, match=message):
            ConversionOptions(model, contract, None, tmp_path, quantization=plan, distillation=distillation)
    with pytest.raises(OptionsError, match="expected one recipe file or more"):
        Replay(())
    twice = Replay([recipe_files(recorded)[0]] * 2)
    with pytest.raises(OptionsError, match="expected one recipe for cpu_int8, found a second"):
        replay(recorded, tmp_path / "out", targets=("cpu",), quantization=twice)


def test_a_contract_that_was_allowed_at_recording_must_be_allowed_again(
    recorded: Path, tmp_path: Path
) -> None:
    value = json.loads(recipe_files(recorded, ("cpu",))[0].read_text())
    value["source"]["input_contract"] = {"status": "allowed", "reason": "another contract is better"}
    path = tmp_path / "x.recipe.json"
    path.write_text(json.dumps(value))
    with pytest.raises(ContractRefusedError, match="input contract: another contract is better"):
        replay(recorded, tmp_path / "out", targets=("cpu",), quantization=Replay(path))
    result = replay(
        recorded, tmp_path / "out", targets=("cpu",), quantization=Replay(path), allow=("contract",)
    )
    assert result.contract_check.status == "allowed" and result.replays["cpu_int8"].same_bytes
