"""Train the student to reproduce the float network's embedding and features; used only in the child process.

No labels are needed, because the target is the float network's output for the same augmented image. Including
intermediate features converges ten times faster than the embedding alone, as in block-wise reconstruction (BRECQ,
arXiv:2102.05426). The learning rate falls only near the end (arXiv:2405.18392), so the number of steps can be
chosen during training.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from converters.data.calibration import real_inputs
from converters.graph.graph import Graph, indices
from converters.quantize.distill.batches import BATCH, batches
from converters.quantize.distill.leaky_relu import LARGEST_SLOPE, SMALLEST_SLOPE
from converters.quantize.distill.schedule import STABLE_SHARE, TrainingLength, rate
from converters.quantize.distill.student import FloatNetwork, Student
from converters.quantize.distill.training_result import CurvePoint, TrainingResult
from converters.quantize.statistics import TensorRange
from edge_sdk.model.array_contract import AnyContract
from edge_sdk.types import FloatArray, SampleArray, UInt8Array

#: Learning rate for the logarithm of the ends of a range, relative to the learning rate for weights.
_RANGE_RATE = 0.3
_EVALUATE_EVERY = 100
_FIRST_MOMENT, _SECOND_MOMENT, _EPSILON = 0.9, 0.999, 1e-8
_NONLINEAR = {
    "PRELU", "LEAKY_RELU", "RELU", "RELU6", "SPLIT", "MUL", "HARD_SWISH", "LOGISTIC", "TANH", "ELU", "GELU",
}  # fmt: skip
_LINEAR = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD"}


def train(
    teacher: FloatNetwork,
    student: Student,
    contract: AnyContract,
    *,
    pixels: SampleArray,
    selection: UInt8Array,
    length: TrainingLength,
    seed: int,
    highest_rate: float,
    progress: Callable[[float], None],
) -> TrainingResult:
    """Train the student in place.

    Args:
        teacher: The float network.
        student: The int8 network; its tensors have the names of the teacher's.
        contract: The input contract of both.
        pixels: Unlabelled crops to train on, shape (n, H, W, C), uint8.
        selection: Other crops, used to choose the best step.
        length: Number of steps or time limit.
        seed: Random seed for the order and the augmentation of the crops.
        highest_rate: Highest learning rate, relative to the root mean square of a weight's channel.
        progress: Called with the completed share, 0..1.

    Returns:
        The weights of the best step. With a fixed number of steps, the result is deterministic.
    """
    trainer = _Trainer(teacher, student)
    inputs = real_inputs(selection, contract)
    reference = embed(teacher, inputs)
    curve = [CurvePoint(0, trainer.mean_cosine(inputs, reference))]
    best, kept = curve[0], trainer.state()
    steps, start, done = length.steps, time.monotonic(), 0
    crops = batches(pixels, np.random.default_rng(seed))
    while not steps or done < steps:
        elapsed = time.monotonic() - start
        if not steps and elapsed > STABLE_SHARE * length.seconds:
            steps = max(round(done / STABLE_SHARE), done + 1)
        trainer.step(real_inputs(next(crops), contract), rate(done, steps, highest_rate))
        done += 1
        progress(done / steps if steps else elapsed / length.seconds)
        if done % _EVALUATE_EVERY == 0 or done == steps:
            curve.append(CurvePoint(done, trainer.mean_cosine(inputs, reference)))
            if curve[-1].cosine > best.cosine:
                best, kept = curve[-1], trainer.state()
    seconds = time.monotonic() - start
    trainer.restore(kept)
    return TrainingResult(
        {name: variable.numpy() for name, variable in student.variables.items()},
        {name: TensorRange(*ends) for name, ends in student.trained_ranges().items()},
        done,
        tuple(curve),
        best.step,
        done * BATCH / seconds,
    )


def embed(network: FloatNetwork | Student, inputs: FloatArray) -> FloatArray:
    """Embed normalized inputs of shape (n, H, W, C) and return unit embeddings, shape (n, D)."""
    return np.concatenate([_unit(network.run(tf.constant(part))[0]).numpy() for part in _parts(inputs)])


def _parts(inputs: FloatArray) -> list[FloatArray]:
    return [inputs[i : i + BATCH] for i in range(0, len(inputs), BATCH)]


def _unit(embedding: tf.Tensor) -> tf.Tensor:
    return tf.math.l2_normalize(embedding, axis=1)


class _Trainer:
    """Adam optimizer (arXiv:1412.6980) for the student's weights and ranges."""

    def __init__(self, teacher: FloatNetwork, student: Student) -> None:
        self._teacher, self._student = teacher, student
        self._features = _choose_features(teacher.graph, student.graph)
        names = list(student.variables)
        self._slopes = [student.variables[name] for name in student.slopes]
        self._variables = [*student.variables.values(), *student.ranges.values()]
        self._scales = [
            *(tf.constant(_scale(student.variables[name].numpy())) for name in names),
            *(tf.constant(np.float32(_RANGE_RATE)) for _ in student.ranges),
        ]
        self._first = [tf.Variable(tf.zeros_like(v)) for v in self._variables]
        self._second = [tf.Variable(tf.zeros_like(v)) for v in self._variables]
        self._done = tf.Variable(0.0)
        self._compiled = tf.function(self._step)
        self._embed = tf.function(lambda inputs: _unit(student.run(inputs)[0]), reduce_retracing=True)

    def step(self, inputs: FloatArray, learning_rate: float) -> None:
        """Train on one batch, shape (n, H, W, C), float32."""
        self._compiled(tf.constant(inputs), tf.constant(learning_rate, tf.float32))

    def mean_cosine(self, inputs: FloatArray, reference: FloatArray) -> float:
        """Return the mean cosine between the student's embeddings of the inputs and reference embeddings."""
        embeddings = np.concatenate([self._embed(tf.constant(part)).numpy() for part in _parts(inputs)])
        return float((embeddings * reference).sum(axis=1).mean())

    def state(self) -> list[FloatArray]:
        """Return a copy of all trained values."""
        return [variable.numpy() for variable in self._variables]

    def restore(self, state: Sequence[FloatArray]) -> None:
        """Set all trained values to those of an earlier `state`."""
        for variable, value in zip(self._variables, state, strict=True):
            variable.assign(value)

    def _step(self, inputs: tf.Tensor, learning_rate: tf.Tensor) -> None:
        target, target_features = self._teacher.run(inputs, self._features)
        with tf.GradientTape() as tape:
            embedding, features = self._student.run(inputs, self._features)
            loss = 1 - tf.reduce_mean(tf.reduce_sum(_unit(target) * _unit(embedding), axis=1))
            for name in self._features:
                loss += _relative_error(target_features[name], features[name]) / len(self._features)
        gradients = tape.gradient(loss, self._variables, unconnected_gradients="zero")
        self._done.assign_add(1.0)
        bias = [1 - tf.pow(moment, self._done) for moment in (_FIRST_MOMENT, _SECOND_MOMENT)]
        for variable, gradient, scale, first, second in zip(
            self._variables, gradients, self._scales, self._first, self._second, strict=True
        ):
            relative = gradient * scale
            first.assign(_FIRST_MOMENT * first + (1 - _FIRST_MOMENT) * relative)
            second.assign(_SECOND_MOMENT * second + (1 - _SECOND_MOMENT) * relative**2)
            move = (first / bias[0]) / (tf.sqrt(second / bias[1]) + _EPSILON)
            variable.assign_sub(learning_rate * scale * move)
        for slope in self._slopes:
            magnitude = tf.clip_by_value(tf.abs(slope), SMALLEST_SLOPE, LARGEST_SLOPE)
            slope.assign(tf.where(slope < 0, -magnitude, magnitude))


def _relative_error(target: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Return the mean squared error divided by the variance per channel, so that all channels have equal weight."""
    axes = list(range(target.shape.rank - 1))
    variance = tf.math.reduce_variance(target, axis=axes, keepdims=True)
    return tf.reduce_mean((values - target) ** 2 / tf.maximum(variance, _EPSILON))


def _choose_features(teacher: Graph, student: Graph) -> list[str]:
    """Choose the tensors to compare: outputs of linear operators that no activation reads directly."""
    known = {student.name(i).removesuffix("_quantized") for i in student.computed()}
    features = []
    for operator in teacher.operators:
        output = indices(operator.outputs)[0]
        readers = {teacher.op_name(op) for op in teacher.consumers(output)}
        if (
            teacher.op_name(operator) in _LINEAR
            and output not in teacher.outputs
            and not readers & _NONLINEAR
        ):
            features.append(teacher.name(output))
    return [name for name in features if name in known]


def _scale(value: FloatArray) -> FloatArray:
    """Return the root mean square of each output channel, in a shape that broadcasts."""
    first = 0 if value.ndim < 2 or (value.ndim == 4 and value.shape[0] == 1) else 1
    axes = tuple(range(first, value.ndim - (first == 0 and value.ndim > 1)))
    root_mean_square = np.sqrt((value.astype(np.float64) ** 2).mean(axis=axes, keepdims=value.ndim > 1))
    scale: FloatArray = np.maximum(root_mean_square, 1e-6).astype(np.float32)
    return scale
