"""Operators that compute each value by itself."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from converters.sources.onnx_lowering.call import Call, Lowering, UnsupportedOperatorError
from converters.sources.onnx_lowering.placed import Placed, aligned

_SELU_ALPHA, _SELU_GAMMA = 1.67326319217681884765625, 1.05070102214813232421875
# Coefficients of Abramowitz and Stegun, formula 7.1.26: |error| <= 1.5e-7.
_ERF_P = 0.3275911
_ERF = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)


def _unary(compute: Callable[[Any, Any], Any]) -> Lowering:
    def lowering(tf: Any, call: Call) -> Placed:
        value = call.value(0)
        return value.with_data(compute(tf, value.data))

    return lowering


def _parameters(compute: Callable[[Any, Any, Call], Any]) -> Lowering:
    def lowering(tf: Any, call: Call) -> Placed:
        value = call.value(0)
        return value.with_data(compute(tf, value.data, call))

    return lowering


def _broadcast(compute: Callable[..., Any]) -> Lowering:
    def lowering(tf: Any, call: Call) -> Placed:
        values = [call.value(index) for index in range(len(call.inputs))]
        data, order = aligned(tf, values)
        result = data[0] if len(data) == 1 else compute(tf, *data)
        return Placed(result, order)

    return lowering


def _fold(name: str) -> Lowering:
    """Combine any number of inputs, two at a time."""

    return _broadcast(lambda tf, *data: functools.reduce(getattr(tf, name), data))


def softplus(tf: Any, x: Any) -> Any:
    """Compute log(1 + exp(x)) without overflow."""
    return tf.nn.relu(x) + tf.math.log(1.0 + tf.exp(-tf.abs(x)))


def hard_sigmoid(tf: Any, x: Any, alpha: float, beta: float) -> Any:
    """Compute a clipped line; as a ReLU6 if it is that of HardSwish."""
    if math.isclose(alpha, 1 / 6, rel_tol=1e-5) and beta == 0.5:
        return tf.nn.relu6(x + 3.0) / 6.0
    return tf.minimum(tf.maximum(x * alpha + beta, 0.0), 1.0)


def _erf(tf: Any, x: Any) -> Any:
    size = tf.abs(x)
    t = 1.0 / (1.0 + _ERF_P * size)
    polynomial = t * _ERF[-1]
    for coefficient in reversed(_ERF[:-1]):
        polynomial = (polynomial + coefficient) * t
    return tf.sign(x) * (1.0 - polynomial * tf.exp(-size * size))


def _elu(tf: Any, x: Any, call: Call) -> Any:
    alpha = call.get("alpha", 1.0)
    if alpha == 1.0:
        return tf.nn.elu(x)
    return tf.nn.relu(x) + alpha * (tf.exp(tf.minimum(x, 0.0)) - 1.0)


def _celu(tf: Any, x: Any, call: Call) -> Any:
    alpha = call.get("alpha", 1.0)
    return tf.nn.relu(x) + alpha * (tf.exp(tf.minimum(x, 0.0) / alpha) - 1.0)


def _selu(tf: Any, x: Any, call: Call) -> Any:
    alpha, gamma = call.get("alpha", _SELU_ALPHA), call.get("gamma", _SELU_GAMMA)
    return gamma * (tf.nn.relu(x) + alpha * (tf.exp(tf.minimum(x, 0.0)) - 1.0))


def _clip(tf: Any, call: Call) -> Placed:
    value = call.value(0)
    low, high = (call.parameter(name, index) for index, name in ((1, "min"), (2, "max")))
    low = -np.inf if low is None else float(np.reshape(low, ())[()])
    high = np.inf if high is None else float(np.reshape(high, ())[()])
    x = value.data
    limit = np.finfo(np.float32).max
    if low == 0 and high == 6:
        return value.with_data(tf.nn.relu6(x))
    if low == 0 and high >= limit:
        return value.with_data(tf.nn.relu(x))
    kind = x.dtype if value.constant else x.dtype.as_numpy_dtype
    if low > -limit:
        x = tf.maximum(x, np.asarray(low, kind))
    if high < limit:
        x = tf.minimum(x, np.asarray(high, kind))
    return value.with_data(x)


def _gelu(tf: Any, x: Any, call: Call) -> Any:
    return tf.nn.gelu(x, approximate=call.get("approximate", "none") == "tanh")


def _prelu(tf: Any, x: Any, slope: Any) -> Any:
    # TFLite's converter recognizes this form as PRELU.
    return tf.nn.relu(x) + (-slope) * tf.nn.relu(-x)


def _divide(tf: Any, a: Any, b: Any) -> Any:
    whole = np.issubdtype(a.dtype if isinstance(a, np.ndarray) else a.dtype.as_numpy_dtype, np.integer)
    return tf.truncatediv(a, b) if whole else a / b


def _power(tf: Any, a: Any, b: Any) -> Any:
    if isinstance(b, np.ndarray) and b.size == 1:
        exponent = float(np.reshape(b, ())[()])
        if exponent == 2:
            return a * a
        if exponent == 0.5:
            return tf.sqrt(a)
        if exponent == 3:
            return a * a * a
    return tf.pow(a, b)


def _modulo(tf: Any, call: Call) -> Placed:
    if call.get("fmod", 0):
        raise UnsupportedOperatorError("fmod=1")
    data, order = aligned(tf, [call.value(0), call.value(1)])
    return Placed(tf.math.floormod(*data), order)


def _mean(tf: Any, *data: Any) -> Any:
    total = data[0]
    for other in data[1:]:
        total = total + other
    return total * (1.0 / len(data))


def _cast(tf: Any, call: Call) -> Placed:
    from onnx import helper

    value = call.value(0)
    if call.kind == "CastLike":
        like = call.value(1).data.dtype
        target = np.dtype(getattr(like, "as_numpy_dtype", like))
    else:
        target = np.dtype(helper.tensor_dtype_to_np_dtype(call.get("to")))
    if value.constant:
        return value.with_data(value.data.astype(target))
    return (
        value if value.data.dtype.as_numpy_dtype == target else value.with_data(tf.cast(value.data, target))
    )


OPERATORS: Mapping[str, Lowering] = {
    "Abs": _unary(lambda tf, x: tf.abs(x)),
    "Add": _broadcast(lambda tf, a, b: a + b),
    "And": _broadcast(lambda tf, a, b: tf.logical_and(a, b)),
    "Cast": _cast,
    "CastLike": _cast,
    "Ceil": _unary(lambda tf, x: tf.math.ceil(x)),
    "Celu": _parameters(_celu),
    "Clip": _clip,
    "Cos": _unary(lambda tf, x: tf.cos(x)),
    "Div": _broadcast(_divide),
    "Dropout": _unary(lambda tf, x: x),
    "Elu": _parameters(_elu),
    "Equal": _broadcast(lambda tf, a, b: tf.equal(a, b)),
    "Erf": _unary(_erf),
    "Exp": _unary(lambda tf, x: tf.exp(x)),
    "Floor": _unary(lambda tf, x: tf.floor(x)),
    "Gelu": _parameters(_gelu),
    "Greater": _broadcast(lambda tf, a, b: tf.greater(a, b)),
    "GreaterOrEqual": _broadcast(lambda tf, a, b: tf.greater_equal(a, b)),
    "HardSigmoid": _parameters(
        lambda tf, x, call: hard_sigmoid(tf, x, call.get("alpha", 0.2), call.get("beta", 0.5))
    ),
    "HardSwish": _unary(lambda tf, x: x * tf.nn.relu6(x + 3.0) / 6.0),
    "Identity": _unary(lambda tf, x: x),
    "LeakyRelu": _parameters(lambda tf, x, call: tf.nn.leaky_relu(x, call.get("alpha", 0.01))),
    "Less": _broadcast(lambda tf, a, b: tf.less(a, b)),
    "LessOrEqual": _broadcast(lambda tf, a, b: tf.less_equal(a, b)),
    "Log": _unary(lambda tf, x: tf.math.log(x)),
    "Max": _fold("maximum"),
    "Mean": _broadcast(_mean),
    "Min": _fold("minimum"),
    "Mish": _unary(lambda tf, x: x * tf.tanh(softplus(tf, x))),
    "Mod": _modulo,
    "Mul": _broadcast(lambda tf, a, b: a * b),
    "Neg": _unary(lambda tf, x: -x),
    "Not": _unary(lambda tf, x: tf.logical_not(x)),
    "Or": _broadcast(lambda tf, a, b: tf.logical_or(a, b)),
    "PRelu": _broadcast(_prelu),
    "Pow": _broadcast(_power),
    "Reciprocal": _unary(lambda tf, x: 1.0 / x),
    "Relu": _unary(lambda tf, x: tf.nn.relu(x)),
    "Round": _unary(lambda tf, x: tf.round(x)),
    "Selu": _parameters(_selu),
    "Sigmoid": _unary(lambda tf, x: tf.sigmoid(x)),
    "Sign": _unary(lambda tf, x: tf.sign(x)),
    "Sin": _unary(lambda tf, x: tf.sin(x)),
    "Softplus": _unary(softplus),
    "Softsign": _unary(lambda tf, x: x / (1.0 + tf.abs(x))),
    "Sqrt": _unary(lambda tf, x: tf.sqrt(x)),
    "Sub": _broadcast(lambda tf, a, b: a - b),
    "Sum": _fold("add"),
    "Swish": _parameters(lambda tf, x, call: x * tf.sigmoid(call.get("alpha", 1.0) * x)),
    "Tanh": _unary(lambda tf, x: tf.tanh(x)),
    "ThresholdedRelu": _parameters(
        lambda tf, x, call: tf.where(x > call.get("alpha", 1.0), x, tf.zeros_like(x))
    ),
    "Where": _broadcast(lambda tf, condition, a, b: tf.where(condition, a, b)),
}
