"""LSTM, GRU and RNN, written out step by step.

TFLite's own recurrent operators keep their state from one inference to the next, so the answer to an input would depend
on the input before. A loop would be a second subgraph, which quantizers do not read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from converters.sources.onnx_lowering.call import Call, Lowering, UnsupportedOperatorError
from converters.sources.onnx_lowering.placed import Placed, as_onnx, plain

MAX_STEPS = 1024
_FUNCTIONS = {"Sigmoid": "sigmoid", "Tanh": "tanh", "Relu": "relu"}
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_DEFAULT = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}
State = tuple[Any, ...]
# The state before the first step is None if it is zero.
Step = Callable[[Any, State | None], State]


def _recurrent(tf: Any, call: Call) -> list[Placed]:
    x = as_onnx(tf, call.value(0))
    batch_first = bool(call.get("layout", 0))
    if batch_first:
        x = tf.transpose(x, (1, 0, 2))
    steps = int(x.shape[0])
    _check(call, steps)
    hidden = call.get("hidden_size")
    reverse = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[
        call.get("direction", "forward")
    ]
    sequences, states = [], []
    for index, backward in enumerate(reverse):
        step = _step(tf, call, index, hidden)
        weights, bias = call.constant(1)[index], _bias(call, index, hidden)[0]
        products = tf.unstack(tf.matmul(x, weights.T) + bias)
        order = products[::-1] if backward else products
        results = [step(order[0], _initial(tf, call, index, batch_first))]
        for product in order[1:]:
            results.append(step(product, results[-1]))
        outputs = [result[0] for result in results]
        sequences.append(outputs[::-1] if backward else outputs)
        states.append(results[-1])
    return _outputs(tf, call, sequences, states, batch_first)


def _check(call: Call, steps: int) -> None:
    if steps > MAX_STEPS:
        raise UnsupportedOperatorError(f"{steps} time steps, at most {MAX_STEPS} can be written out")
    if call.get("clip") is not None:
        raise UnsupportedOperatorError("clip")
    if call.kind == "LSTM" and call.optional(7) is not None:
        raise UnsupportedOperatorError("peepholes")
    if call.get("input_forget", 0):
        raise UnsupportedOperatorError("input_forget=1")
    lengths = call.constant(4)
    if lengths is not None and set(map(int, lengths)) != {steps}:
        raise UnsupportedOperatorError(f"sequence lengths other than {steps}")
    unknown = set(call.get("activations", ())) - set(_FUNCTIONS)
    if unknown:
        raise UnsupportedOperatorError(f"the activations {', '.join(sorted(unknown))}")


def _bias(call: Call, index: int, hidden: int) -> tuple[Any, Any]:
    """Return the bias of the input product, and that which GRU adds to the product of the hidden state."""
    count = _GATES[call.kind] * hidden
    both = call.constant(3)
    if both is None:
        return np.zeros(count, np.float32), np.zeros(count, np.float32)
    first, second = both[index, :count], both[index, count:]
    if call.kind == "GRU" and call.get("linear_before_reset", 0):
        first, second = first.copy(), second.copy()
        first[: 2 * hidden] += second[: 2 * hidden]
        second[: 2 * hidden] = 0
        return first, second
    return first + second, np.zeros(count, np.float32)


def _initial(tf: Any, call: Call, index: int, batch_first: bool) -> State | None:
    given = [call.optional(position) for position in ((5, 6) if call.kind == "LSTM" else (5,))]
    if all(value is None or (value.constant and not np.any(value.data)) for value in given):
        return None
    states = []
    for value in given:
        if value is None:
            raise UnsupportedOperatorError("only one of two initial states")
        data = as_onnx(tf, value)
        states.append(data[:, index] if batch_first else data[index])
    return tuple(states)


def _functions(tf: Any, call: Call, index: int) -> list[Callable[[Any], Any]]:
    default = _DEFAULT[call.kind]
    names = call.get("activations") or default * 2
    return [getattr(tf.nn, _FUNCTIONS[name]) for name in names[index * len(default) :][: len(default)]]


def _step(tf: Any, call: Call, index: int, hidden: int) -> Step:
    weights, functions = call.constant(2)[index].T, _functions(tf, call, index)
    if call.kind == "GRU":
        return _gru_step(tf, call, weights, functions, _bias(call, index, hidden)[1][2 * hidden :], hidden)
    # One tensor for all steps: each array that TensorFlow is given becomes a constant of its own.
    recurrence = tf.constant(weights)
    if call.kind == "RNN":
        return lambda product, state: (
            functions[0](product + tf.matmul(state[0], recurrence) if state else product),
        )
    return _lstm_step(tf, recurrence, functions, hidden)


def _lstm_step(tf: Any, recurrence: Any, functions: list[Callable[[Any], Any]], hidden: int) -> Step:
    gate, cell_gate, output = functions

    def step(product: Any, state: State | None) -> State:
        if state is None:
            # Slices instead of a split: quantizers leave a split with an unused output in float.
            cell = gate(product[:, :hidden]) * cell_gate(product[:, 3 * hidden :])
            return gate(product[:, hidden : 2 * hidden]) * output(cell), cell
        # XNNPACK splits into equal parts only.
        enter, leave, forget, candidate = tf.split(product + tf.matmul(state[0], recurrence), 4, axis=1)
        cell = gate(forget) * state[1] + gate(enter) * cell_gate(candidate)
        return gate(leave) * output(cell), cell

    return step


def _gru_step(
    tf: Any,
    call: Call,
    recurrence: Any,
    functions: list[Callable[[Any], Any]],
    candidate_bias: Any,
    hidden: int,
) -> Step:
    gate, output = functions
    for_gates, for_candidate = (
        tf.constant(part) for part in (recurrence[:, : 2 * hidden], recurrence[:, 2 * hidden :])
    )
    before_reset = bool(call.get("linear_before_reset", 0))

    def step(product: Any, state: State | None) -> State:
        if state is None:
            candidate = product[:, 2 * hidden :]
            if before_reset and candidate_bias.any():
                candidate = candidate + gate(product[:, hidden : 2 * hidden]) * candidate_bias
            fresh = output(candidate)
            return (fresh - gate(product[:, :hidden]) * fresh,)
        (previous,) = state
        update, reset, candidate = tf.split(product, 3, axis=1)
        update_by_state, reset_by_state = tf.split(tf.matmul(previous, for_gates), 2, axis=1)
        update, reset = gate(update + update_by_state), gate(reset + reset_by_state)
        if before_reset:
            candidate = candidate + reset * (tf.matmul(previous, for_candidate) + candidate_bias)
        else:
            candidate = candidate + tf.matmul(reset * previous, for_candidate)
        fresh = output(candidate)
        return (fresh + update * (previous - fresh),)

    return step


def _outputs(
    tf: Any, call: Call, sequences: list[list[Any]], states: list[State], batch_first: bool
) -> list[Placed]:
    """Return the whole sequence (steps, directions, batch, hidden) and the last states (directions, batch, hidden)."""
    outputs = []
    if call.outputs and call.outputs[0]:
        whole = tf.stack([tf.stack(sequence) for sequence in sequences], axis=1)
        outputs.append(plain(tf.transpose(whole, (2, 0, 1, 3)) if batch_first else whole))
    else:
        outputs.append(plain(states[0][0]))
    axis = 1 if batch_first else 0
    outputs += [plain(tf.stack(parts, axis=axis)) for parts in zip(*states, strict=True)]
    return outputs


OPERATORS: Mapping[str, Lowering] = dict.fromkeys(_GATES, _recurrent)
