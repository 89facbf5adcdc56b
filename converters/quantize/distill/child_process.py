"""Train in a child process, so that TensorFlow's memory, output and crashes stay there."""

from __future__ import annotations

from collections.abc import Callable

from converters.errors import ConversionError
from converters.graph.network import Network
from converters.jobs.child_process import ChildError, run_job
from converters.quantize.distill.schedule import TrainingLength
from converters.quantize.distill.training_result import CurvePoint, TrainingResult
from converters.quantize.statistics import TensorRange
from edge_sdk.model.array_contract import AnyContract
from edge_sdk.types import SampleArray, UInt8Array


def train_in_child_process(
    teacher: Network,
    reference: Network,
    integer: Network,
    contract: AnyContract,
    *,
    pixels: SampleArray,
    selection: UInt8Array,
    length: TrainingLength,
    seed: int,
    highest_rate: float,
    progress: Callable[[int, int], None],
) -> TrainingResult:
    """Train the int8 network's float reference in a child process.

    Args:
        teacher: The float network whose embeddings are the goal.
        reference: The float network that the int8 network was quantized from; its channels are in the teacher's order.
        integer: The int8 network.
        contract: The input contract of all three.
        pixels: Unlabelled crops, shape (n, H, W, C), uint8, at the network's size.
        selection: Other crops, used to choose the best step.
        length: Number of steps or time limit.
        seed: Random seed for the order and the augmentation of the crops.
        highest_rate: Highest learning rate, relative to the root mean square of a weight's channel.
        progress: Called with (done, total).

    Raises:
        ConversionError: the network cannot be trained, or the child process crashed.
    """
    networks = {"teacher": teacher, "reference": reference, "integer": integer}
    request = {
        "contract": contract.to_json(),
        "steps": length.steps,
        "seconds": length.seconds,
        "seed": seed,
        "highest_rate": highest_rate,
    }
    try:
        with run_job(
            ("-m", "converters.quantize.distill.worker"),
            request,
            arrays={"pixels": pixels, "selection": selection},
            files={f"{name}.tflite": network.data for name, network in networks.items()},
            # oneDNN halves the time of a step; on one machine its results are the same in every run.
            variables={"TF_ENABLE_ONEDNN_OPTS": "1"},
            progress=progress,
        ) as job:
            value = job.value
            return TrainingResult(
                {name: job.array(f"constant_{i}") for i, name in enumerate(value["constants"])},
                {name: TensorRange(low, high) for name, (low, high) in value["ranges"].items()},
                value["steps"],
                tuple(CurvePoint(**point) for point in value["curve"]),
                value["best_step"],
                value["images_per_second"],
            )
    except ChildError as error:
        message = str(error) if error.end == "reported" else f"distillation: training {error}"
        raise ConversionError(message, hint=error.hint) from error
