"""Networks of many kinds as ONNX files with random weights, written as exporters write them.

``VARIANTS`` maps the name of each network to a function that returns its onnx.ModelProto. ``KINDS`` groups the names for
docs/reference/sources.md.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE = 32
IMAGE = (1, 3, SIDE, SIDE)


def scalar(value):
    return np.array(value, np.float32)


class Net:
    """Builder of an ONNX graph: ``net("Relu", x)`` adds an operator and returns the name of its output."""

    def __init__(self, shape=IMAGE, opset=17, seed=0, kind=TensorProto.FLOAT):
        self.rng = np.random.default_rng(seed)
        self.nodes, self.stored = [], []
        self.inputs = [helper.make_tensor_value_info("input", kind, shape)]
        self.opset = opset

    def __call__(self, op, *inputs, outputs=1, **attributes):
        names = [f"/{op}_{len(self.nodes)}_output_{i}" for i in range(outputs)]
        read = [self.store(value) if isinstance(value, np.ndarray) else value for value in inputs]
        self.nodes.append(helper.make_node(op, read, names, name=f"/{op}_{len(self.nodes)}", **attributes))
        return names[0] if outputs == 1 else names

    def store(self, array):
        name = f"onnx::{len(self.stored)}"
        self.stored.append(numpy_helper.from_array(array, name))
        return name

    def ints(self, *values):
        return np.array(values, np.int64)

    def weights(self, *shape, gain=1.0):
        fan = int(np.prod(shape[1:])) or 1
        return (self.rng.normal(size=shape) * gain * np.sqrt(2 / fan)).astype(np.float32)

    def positive(self, *shape):
        return self.rng.uniform(0.5, 1.5, size=shape).astype(np.float32)

    def normal(self, *shape, scale=0.3):
        return (self.rng.normal(size=shape) * scale).astype(np.float32)

    def conv(self, x, inputs, outputs, kernel=3, stride=1, group=1, bias=True, **attributes):
        pad = kernel // 2
        attributes = {"pads": [pad] * 4, "strides": [stride] * 2, "kernel_shape": [kernel] * 2} | attributes
        more = [self.normal(outputs)] if bias else []
        w = self.weights(outputs, inputs // group, kernel, kernel)
        return self("Conv", x, w, *more, group=group, **attributes)

    def norm(self, x, channels):
        parameters = (
            self.positive(channels),
            self.normal(channels),
            self.normal(channels),
            self.positive(channels),
        )
        return self("BatchNormalization", x, *parameters, epsilon=1e-5)

    def dense(self, x, inputs, outputs):
        return self("Gemm", x, self.weights(outputs, inputs), self.normal(outputs), transB=1)

    def pooled(self, x, channels, outputs=16):
        x = self("GlobalAveragePool", x)
        return self.dense(self("Flatten", x), channels, outputs)

    def stem(self, channels=16, x="input", stride=2, group=1):
        return self("Relu", self.norm(self.conv(x, 3, channels, stride=stride, bias=False), channels))

    def model(self, *outputs, ir=8, shapes=True):
        info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, None]) for name in outputs]
        graph = helper.make_graph(self.nodes, "network", self.inputs, info, self.stored)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=ir)
        return onnx.shape_inference.infer_shapes(model) if shapes else model

    # activations as exporters decompose them

    def erf_gelu(self, x):
        y = self("Add", self("Erf", self("Div", x, scalar(np.sqrt(2)))), scalar(1))
        return self("Mul", self("Mul", x, y), scalar(0.5))

    def tanh_gelu(self, x):
        cube = self("Mul", self("Pow", x, scalar(3)), scalar(0.044715))
        inner = self("Mul", self("Add", x, cube), scalar(np.sqrt(2 / np.pi)))
        y = self("Add", self("Tanh", inner), scalar(1))
        return self("Mul", self("Mul", scalar(0.5), x), y)

    def layer_norm(self, x, width):
        if self.opset >= 17:
            return self("LayerNormalization", x, self.positive(width), self.normal(width), axis=-1)
        mean = self("ReduceMean", x, axes=[-1])
        centred = self("Sub", x, mean)
        variance = self("ReduceMean", self("Pow", centred, scalar(2)), axes=[-1])
        deviation = self("Sqrt", self("Add", variance, scalar(1e-5)))
        y = self("Div", centred, deviation)
        return self("Add", self("Mul", y, self.positive(width)), self.normal(width))

    def linear(self, x, inputs, outputs):
        return self("Add", self.normal(outputs), self("MatMul", x, self.weights(inputs, outputs)))

    def shuffle(self, x, channels, side, group):
        x = self("Reshape", x, self.ints(1, group, channels // group, side, side))
        x = self("Transpose", x, perm=[0, 2, 1, 3, 4])
        return self("Reshape", x, self.ints(1, channels, side, side))

    def squeeze_excite(self, x, channels, gate="Sigmoid", **attributes):
        s = self("GlobalAveragePool", x)
        s = self("Relu", self.conv(s, channels, channels // 4, 1))
        return self("Mul", x, self(gate, self.conv(s, channels // 4, channels, 1), **attributes))


VARIANTS = {}
KINDS = {}


def variant(kind, *names):
    def register(build):
        for name in names or (build.__name__,):
            VARIANTS[name] = (lambda name=name: build(name)) if names else build
            KINDS.setdefault(kind, []).append(name)
        return build

    return register


# --- convolutional networks


@variant("grouped convolutions", "group2", "group4", "group8_strided")
def grouped(name):
    group = int(name[5])
    net = Net()
    x = net.conv(net.stem(), 16, 32, group=group, stride=2 if "strided" in name else 1)
    return net.model(net.pooled(net("Relu", x), 32))


@variant("grouped convolutions")
def group_multiplier():
    """Depthwise with two filters per channel, and a kernel of 3x1."""
    net = Net()
    x = net.conv(net.stem(), 16, 32, group=16)
    x = net("Conv", x, net.weights(32, 1, 3, 1), group=32, pads=[1, 0, 1, 0], strides=[2, 1])
    return net.model(net.pooled(x, 32))


@variant("grouped convolutions")
def group_1d():
    net = Net()
    x = net("Reshape", net.stem(), net.ints(1, 16, -1))
    x = net("Conv", x, net.weights(32, 4, 5), net.normal(32), group=4, pads=[2, 2], strides=[2])
    x = net("Conv", net("Relu", x), net.weights(32, 1, 3), group=32, pads=[2, 2], dilations=[2])
    return net.model(net.dense(net("Flatten", net("GlobalAveragePool", x)), 32, 16))


@variant("ShuffleNet")
def shufflenet_v1():
    net = Net()
    x = net.stem(24)
    y = net("Relu", net.norm(net.conv(x, 24, 12, 1, group=3, bias=False), 12))
    y = net.shuffle(y, 12, 16, 3)
    y = net.norm(net.conv(y, 12, 12, 3, group=12, bias=False), 12)
    y = net.norm(net.conv(y, 12, 24, 1, group=3, bias=False), 24)
    return net.model(net.pooled(net("Relu", net("Add", x, y)), 24))


@variant("ShuffleNet")
def shufflenet_v2():
    net = Net()
    x = net.stem(16)
    for _ in range(2):
        a, b = net("Split", x, net.ints(8, 8), outputs=2, axis=1)
        b = net("Relu", net.norm(net.conv(b, 8, 8, 1, bias=False), 8))
        b = net.norm(net.conv(b, 8, 8, 3, group=8, bias=False), 8)
        b = net("Relu", net.norm(net.conv(b, 8, 8, 1, bias=False), 8))
        x = net.shuffle(net("Concat", a, b, axis=1), 16, 16, 2)
    return net.model(net.pooled(x, 16))


@variant("GhostNet")
def ghostnet():
    net = Net()
    x = net.stem(16)
    a = net("Relu", net.norm(net.conv(x, 16, 8, 1, bias=False), 8))
    b = net("Relu", net.norm(net.conv(a, 8, 8, 3, group=8, bias=False), 8))
    x = net("Slice", net("Concat", a, b, axis=1), net.ints(0), net.ints(16), net.ints(1))
    x = net.squeeze_excite(x, 16, "HardSigmoid", alpha=1 / 6, beta=0.5)
    return net.model(net.pooled(x, 16))


@variant("ResNeXt")
def resnext():
    net = Net()
    x = net.stem(32)
    y = net("Relu", net.norm(net.conv(x, 32, 32, 1, bias=False), 32))
    y = net("Relu", net.norm(net.conv(y, 32, 32, 3, group=8, bias=False), 32))
    x = net("Relu", net("Add", net.norm(net.conv(y, 32, 32, 1, bias=False), 32), x))
    x = net("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    return net.model(net.pooled(x, 32))


@variant("RepVGG, MobileOne")
def repvgg():
    net = Net()
    x = net.stem(16)
    y = net.norm(net.conv(x, 16, 16, bias=False), 16)
    x = net(
        "Relu", net("Add", net("Add", y, net.norm(net.conv(x, 16, 16, 1, bias=False), 16)), net.norm(x, 16))
    )
    return net.model(net.pooled(x, 16))


@variant("RepVGG, MobileOne")
def mobileone():
    net = Net()
    x = net.stem(16)
    y = net("Add", net.norm(net.conv(x, 16, 16, group=16, bias=False), 16), net.norm(x, 16))
    y = net.squeeze_excite(net("Relu", y), 16)
    return net.model(net.pooled(net("Relu", net.conv(y, 16, 32, 1)), 32))


@variant("ArcFace (IResNet)")
def iresnet():
    net = Net(opset=11)
    x = net.norm(net.conv("input", 3, 16, bias=False), 16)
    x = net("PRelu", x, net.positive(16, 1, 1))
    y = net.norm(x, 16)
    y = net("PRelu", net.norm(net.conv(y, 16, 16, bias=False), 16), net.normal(16, 1, 1))
    y = net.norm(net.conv(y, 16, 32, stride=2, bias=False), 32)
    x = net.norm(net.conv(x, 16, 32, 1, stride=2, bias=False), 32)
    x = net.norm(net("Add", x, y), 32)
    x = net("Flatten", net("Dropout", x), axis=1)
    x = net.dense(x, 32 * 16 * 16, 24)
    return net.model(net.norm(x, 24))


@variant("EfficientNet", "efficientnet", "efficientnet_same")
def efficientnet(name):
    net = Net()
    pads = {"auto_pad": "SAME_UPPER", "pads": None} if "same" in name else {"pads": [0, 0, 1, 1]}
    pads = {key: value for key, value in pads.items() if value is not None}

    def conv(x, inputs, outputs, kernel, group=1, **attributes):
        w = net.weights(outputs, inputs // group, kernel, kernel)
        return net.norm(net("Conv", x, w, group=group, **attributes), outputs)

    def silu(x):
        return net("Mul", x, net("Sigmoid", x))

    x = silu(conv("input", 3, 16, 3, strides=[2, 2], **pads))
    x = silu(conv(x, 16, 16, 5, group=16, strides=[2, 2], pads=[1, 1, 2, 2]))
    s = net("ReduceMean", x, axes=[2, 3], keepdims=1)
    s = silu(net.conv(s, 16, 4, 1))
    x = net("Mul", net("Sigmoid", net.conv(s, 4, 16, 1)), x)
    return net.model(net.pooled(silu(conv(x, 16, 32, 1)), 32))


# --- transformers


def attention(net, x, tokens, width, heads):
    size = width // heads
    qkv = net.linear(x, width, 3 * width)
    qkv = net("Reshape", qkv, net.ints(1, tokens, 3, heads, size))
    qkv = net("Transpose", qkv, perm=[2, 0, 3, 1, 4])
    q, k, v = (net("Gather", qkv, np.array(i, np.int64), axis=0) for i in range(3))
    scores = net("MatMul", q, net("Transpose", k, perm=[0, 1, 3, 2]))
    scores = net("Softmax", net("Mul", scores, scalar(size**-0.5)), axis=-1)
    y = net("Transpose", net("MatMul", scores, v), perm=[0, 2, 1, 3])
    return net.linear(net("Reshape", y, net.ints(1, tokens, width)), width, width)


@variant("ViT", "vit_opset17", "vit_opset14", "vit_tanh", "vit_mean")
def vit(name):
    net = Net(opset=14 if "14" in name else 17)
    width, tokens = 32, 16
    x = net(
        "Conv", "input", net.weights(width, 3, 8, 8), net.normal(width), strides=[8, 8], kernel_shape=[8, 8]
    )
    x = net("Transpose", net("Reshape", x, net.ints(1, width, -1)), perm=[0, 2, 1])
    x = net("Concat", net.normal(1, 1, width), x, axis=1)
    x = net("Add", x, net.normal(1, tokens + 1, width))
    gelu = net.tanh_gelu if "tanh" in name else net.erf_gelu
    for _ in range(2):
        x = net("Add", x, attention(net, net.layer_norm(x, width), tokens + 1, width, 4))
        y = gelu(net.linear(net.layer_norm(x, width), width, 2 * width))
        x = net("Add", x, net.linear(y, 2 * width, width))
    x = net.layer_norm(x, width)
    x = (
        net("ReduceMean", x, axes=[1], keepdims=0)
        if "mean" in name
        else net("Gather", x, np.array(0, np.int64), axis=1)
    )
    return net.model(net.dense(x, width, 16))


@variant("ConvNeXt", "convnext", "convnext_channels_first", "convnext_opset20")
def convnext(name):
    net = Net(opset=20 if "20" in name else 17)
    width = 24
    x = net(
        "Conv", "input", net.weights(width, 3, 4, 4), net.normal(width), strides=[4, 4], kernel_shape=[4, 4]
    )
    gelu = (lambda y: net("Gelu", y)) if "20" in name else net.erf_gelu
    for _ in range(2):
        y = net.conv(x, width, width, 7, group=width)
        if "first" in name:
            mean = net("ReduceMean", y, axes=[1])
            centred = net("Sub", y, mean)
            variance = net("ReduceMean", net("Mul", centred, centred), axes=[1])
            y = net("Div", centred, net("Sqrt", net("Add", variance, scalar(1e-6))))
            y = net("Add", net("Mul", y, net.positive(width, 1, 1)), net.normal(width, 1, 1))
            y = net.conv(gelu(net.conv(y, width, 48, 1)), 48, width, 1)
        else:
            y = net.layer_norm(net("Transpose", y, perm=[0, 2, 3, 1]), width)
            y = net.linear(gelu(net.linear(y, width, 48)), 48, width)
            y = net("Transpose", net("Mul", y, net.positive(width)), perm=[0, 3, 1, 2])
        x = net("Add", x, y)
    x = net("GlobalAveragePool", x)
    x = net.layer_norm(net("Flatten", x), width)
    return net.model(net.dense(x, width, 16))


@variant("windowed attention (Swin)")
def swin_window():
    net = Net()
    width = 24
    x = net("Conv", "input", net.weights(width, 3, 4, 4), strides=[4, 4], kernel_shape=[4, 4])
    x = net("Transpose", x, perm=[0, 2, 3, 1])
    x = net(
        "Concat",
        net("Slice", x, net.ints(2), net.ints(8), net.ints(1)),
        net("Slice", x, net.ints(0), net.ints(2), net.ints(1)),
        axis=1,
    )
    y = net("Transpose", net("Reshape", x, net.ints(1, 2, 4, 2, 4, width)), perm=[0, 1, 3, 2, 4, 5])
    y = net("Reshape", y, net.ints(4, 16, width))
    q = net("MatMul", y, net.weights(width, width))
    scores = net("Softmax", net("MatMul", q, net("Transpose", y, perm=[0, 2, 1])), axis=-1)
    y = net("Reshape", net("MatMul", scores, y), net.ints(1, 2, 2, 4, 4, width))
    y = net("Reshape", net("Transpose", y, perm=[0, 1, 3, 2, 4, 5]), net.ints(1, 8, 8, width))
    x = net("Add", x, y)
    x = net("ReduceMean", x, axes=[1, 2], keepdims=0)
    return net.model(net.dense(x, width, 16))


# --- recurrent networks: (T, F) features


def recurrent(net, kind, x, inputs, hidden, directions=1, steps=20, initial=False, **attributes):
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind]
    w = net.normal(directions, gates * hidden, inputs)
    r = net.normal(directions, gates * hidden, hidden)
    b = net.normal(directions, 2 * gates * hidden)
    more = ["", net.normal(directions, 1, hidden)] + (
        [net.normal(directions, 1, hidden)] if kind == "LSTM" else []
    )
    outputs = 3 if kind == "LSTM" else 2
    if directions == 2:
        attributes["direction"] = "bidirectional"
    return net(
        kind, x, w, r, b, *(more if initial else []), outputs=outputs, hidden_size=hidden, **attributes
    )


SERIES = (1, 20, 12)


@variant("LSTM, GRU, RNN", "lstm_last", "gru_last", "rnn_last", "gru_before_reset")
def recurrent_last(name):
    kind = name[:4].strip("_").upper()
    net = Net(SERIES)
    x = net("Transpose", "input", perm=[1, 0, 2])
    more = {"linear_before_reset": 1} if "reset" in name else {}
    h = recurrent(net, kind, x, 12, 16, **more)[1]
    return net.model(net.dense(net("Squeeze", h, net.ints(0)), 16, 8))


@variant("LSTM, GRU, RNN")
def lstm_stacked():
    """A speaker encoder: three layers, last hidden state, projection, ReLU, L2 norm."""
    net = Net(SERIES)
    x = net("Transpose", "input", perm=[1, 0, 2])
    for layer in range(3):
        y, h, _ = recurrent(net, "LSTM", x, 16 if layer else 12, 16)
        x = net("Squeeze", y, net.ints(1))
    x = net("Relu", net.dense(net("Squeeze", h, net.ints(0)), 16, 16))
    return net.model(net("Div", x, net("ReduceL2", x, axes=[1], keepdims=1)))


@variant("LSTM, GRU, RNN", "lstm_bidirectional", "gru_bidirectional")
def bidirectional(name):
    net = Net(SERIES)
    x = net("Transpose", "input", perm=[1, 0, 2])
    y = recurrent(net, name.split("_")[0].upper(), x, 12, 8, directions=2, initial=True)[0]
    y = net("Reshape", net("Transpose", y, perm=[0, 2, 1, 3]), net.ints(20, 1, 16))
    y = net("ReduceMean", net("Transpose", y, perm=[1, 0, 2]), axes=[1], keepdims=0)
    return net.model(net.dense(y, 16, 8))


@variant("LSTM, GRU, RNN")
def crnn():
    """Convolutions on a spectrogram, then a GRU."""
    net = Net((1, 1, 32, 20))
    x = net("Relu", net("Conv", "input", net.weights(8, 1, 3, 3), pads=[1] * 4, strides=[2, 1]))
    x = net("Reshape", net("Transpose", x, perm=[3, 0, 1, 2]), net.ints(20, 1, 128))
    h = recurrent(net, "GRU", x, 128, 8)[1]
    return net.model(net.dense(net("Squeeze", h, net.ints(0)), 8, 8))


@variant("speech (1-D convolutions)")
def tdnn():
    """An ECAPA-like block with statistics pooling."""
    net = Net(SERIES)
    x = net("Transpose", "input", perm=[0, 2, 1])
    x = net("Relu", net("Conv", x, net.weights(16, 12, 5), net.normal(16), pads=[2, 2]))
    x = net.norm(net("Relu", net("Conv", x, net.weights(16, 16, 3), pads=[2, 2], dilations=[2])), 16)
    a = net("Softmax", net("Conv", net("Tanh", x), net.weights(16, 16, 1)), axis=2)
    mean = net("ReduceSum", net("Mul", x, a), net.ints(2), keepdims=0)
    square = net("ReduceSum", net("Mul", net("Mul", x, x), a), net.ints(2), keepdims=0)
    deviation = net("Sqrt", net("Clip", net("Sub", square, net("Mul", mean, mean)), scalar(1e-6)))
    return net.model(net.dense(net("Concat", mean, deviation, axis=1), 32, 16))


# --- numbers and files


@variant("opsets", *(f"opset{n}" for n in (7, 9, 10, 11, 13, 18, 21, 24)))
def opset(name):
    version = int(name[5:])
    net = Net(opset=version)
    x = net.stem(16)
    if version < 10:
        up = (
            net("Upsample", x, np.float32([1, 1, 2, 2]), mode="nearest")
            if version == 9
            else net("Upsample", x, scales=[1.0, 1, 2, 2])
        )
        x = net("AveragePool", up, kernel_shape=[2, 2], strides=[2, 2])
        x = net("Slice", x, starts=[0], ends=[8], axes=[1])
    else:
        x = net("Slice", x, net.ints(0), net.ints(8), net.ints(1))
    x = net("Clip", x, min=0.0, max=3.0) if version < 11 else net("Clip", x, scalar(0), scalar(3))
    x = net("ReduceMean", x, axes=[2, 3]) if version < 18 else net("ReduceMean", x, net.ints(2, 3))
    x = net("Squeeze", x, axes=[2, 3]) if version < 13 else net("Squeeze", x, net.ints(2, 3))
    parts = net("Split", x, outputs=2, axis=1, **({"num_outputs": 2} if version >= 18 else {}))
    x = net(
        "Concat",
        parts[1],
        net("Pad", parts[0], pads=[0, 1, 0, 0], mode="constant") if version < 11 else parts[0],
        axis=1,
    )
    return net.model(net.dense(x, 9 if version < 11 else 8, 16), ir=8 if version < 22 else 10)


@variant("float16, bfloat16, float64", "float16_weights", "bfloat16_weights", "float64_weights")
def cast_weights(name):
    net = Net()
    numbers = {"float16": np.float16, "float64": np.float64}.get(name.split("_")[0])
    w = net.weights(16, 3, 3, 3)
    if numbers is None:
        stored = onnx.helper.make_tensor("w", TensorProto.BFLOAT16, w.shape, w.ravel())
        net.stored.append(stored)
        cast = net("Cast", "w", to=TensorProto.FLOAT)
    else:
        cast = net("Cast", w.astype(numbers), to=TensorProto.FLOAT)
    x = net("Relu", net("Conv", "input", cast, net.normal(16), pads=[1] * 4))
    return net.model(net.pooled(x, 16))


@variant("float16, bfloat16, float64", "float16_graph", "float16_graph_float_io")
def float16_graph(name):
    inside = "io" in name
    net = Net(kind=TensorProto.FLOAT if inside else TensorProto.FLOAT16)
    original = net.store
    net.store = lambda a: original(a.astype(np.float16) if a.dtype == np.float32 else a)
    x = net("Cast", "input", to=TensorProto.FLOAT16) if inside else "input"
    x = net.stem(16, x)
    y = net.pooled(net.erf_gelu(x), 16)
    model = net.model(net("Cast", y, to=TensorProto.FLOAT) if inside else y)
    if not inside:
        model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    return model


@variant("quantized weights", "weights_per_axis", "weights_blocked", "weights_int4", "weights_qdq")
def quantized_weights(name):
    net = Net(opset=21)
    if name == "weights_per_axis":
        low = net.rng.integers(-127, 128, (16, 3, 3, 3)).astype(np.int8)
        w = net("DequantizeLinear", low, net.positive(16) / 100, np.zeros(16, np.int8), axis=0)
    elif name == "weights_blocked":
        low = net.rng.integers(0, 256, (16, 27)).astype(np.uint8)
        zero = np.full((16, 3), 128, np.uint8)
        w = net("DequantizeLinear", low, net.positive(16, 3) / 100, zero, axis=1, block_size=9)
        w = net("Reshape", w, net.ints(16, 3, 3, 3))
    elif name == "weights_int4":
        low = helper.make_tensor("low", TensorProto.INT4, (16, 3, 3, 3), net.rng.integers(-8, 8, 432))
        net.stored.append(low)
        w = net("DequantizeLinear", "low", net.positive(16) / 10, axis=0)
    else:
        scale, zero = scalar(0.01), np.array(0, np.int8)
        low = net("QuantizeLinear", net.weights(16, 3, 3, 3), scale, zero)
        w = net("DequantizeLinear", low, scale, zero)
    x = net("Relu", net("Conv", "input", w, net.normal(16), pads=[1] * 4))
    return net.model(net.pooled(x, 16), ir=10)


@variant("shapes computed in the graph", "dynamic_batch", "dynamic_size", "dynamic_resize")
def dynamic(name):
    shape = ("N", 3, "H", "W") if "size" in name or "resize" in name else ("N", 3, SIDE, SIDE)
    net = Net(shape)
    x = net.stem(16)
    if "resize" in name:
        sides = net("Slice", net("Shape", x), net.ints(2), net.ints(4))
        sides = net("Mul", sides, net.ints(2))
        sizes = net("Concat", net.ints(1, 16), net("Cast", sides, to=TensorProto.INT64), axis=0)
        x = net("Resize", x, "", "", sizes, mode="linear", coordinate_transformation_mode="half_pixel")
    x = net("GlobalAveragePool", x)
    batch = net("Unsqueeze", net("Gather", net("Shape", x), np.array(0, np.int64), axis=0), net.ints(0))
    x = net("Reshape", x, net("Concat", batch, net.ints(-1), axis=0))
    return net.model(net.dense(x, 16, 16))


@variant("shapes computed in the graph")
def constant_if():
    """A squeeze as TorchScript exports it: an If whose condition is constant once the shapes are known."""
    net = Net()
    x = net("GlobalAveragePool", net.stem(16))
    side = net("Gather", net("Shape", x), np.array(2, np.int64), axis=0)
    is_one = net("Equal", side, np.array(1, np.int64))
    flat = helper.make_tensor_value_info("flat", TensorProto.FLOAT, None)
    kept = helper.make_tensor_value_info("kept", TensorProto.FLOAT, None)
    axes = numpy_helper.from_array(net.ints(2, 3), "then_axes")
    then = helper.make_graph(
        [helper.make_node("Squeeze", [x, "then_axes"], ["flat"], name="then")], "then", [], [flat], [axes]
    )
    other = helper.make_graph([helper.make_node("Identity", [x], ["kept"], name="else")], "else", [], [kept])
    y = net("If", is_one, then_branch=then, else_branch=other)
    return net.model(net.dense(net("Reshape", y, net.ints(1, 16)), 16, 16))


@variant("initializers as inputs, unused inputs", "listed_weights", "unused_input")
def extra_inputs(name):
    net = Net()
    y = net.pooled(net.stem(16), 16)
    if name == "listed_weights":
        net.inputs += [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in net.stored]
    else:
        net.inputs.append(helper.make_tensor_value_info("labels", TensorProto.INT64, ["N"]))
    return net.model(y)


# --- single operators


def _activation(net, x, kind):
    if kind == "hard_swish":
        return net("HardSwish", x)
    if kind == "mish":
        return net("Mish", x)
    if kind == "mish_decomposed":
        return net("Mul", x, net("Tanh", net("Softplus", x)))
    if kind == "hard_swish_decomposed":
        y = net("Clip", net("Add", x, scalar(3)), scalar(0), scalar(6))
        return net("Div", net("Mul", x, y), scalar(6))
    attributes = {"elu": {"alpha": 0.7}, "celu": {"alpha": 1.3}, "leaky_relu": {"alpha": 0.2}}.get(kind, {})
    name = {"leaky_relu": "LeakyRelu", "thresholded_relu": "ThresholdedRelu"}.get(kind, kind.title())
    return net(name, x, **attributes)


@variant(
    "activations",
    "hard_swish",
    "hard_swish_decomposed",
    "mish",
    "mish_decomposed",
    "elu",
    "selu",
    "celu",
    "softplus",
    "softsign",
    "leaky_relu",
    "thresholded_relu",
    "erf",
)
def activation(name):
    net = Net(opset=18)
    x = net.conv(_activation(net, net.conv("input", 3, 16, stride=2), name), 16, 16)
    return net.model(net.pooled(x, 16))


@variant(
    "normalizations",
    "group_norm18",
    "group_norm21",
    "group_norm_decomposed",
    "instance_norm",
    "layer_norm_image",
    "rms_norm",
    "lrn",
    "mean_variance",
)
def normalization(name):
    net = Net(opset={"group_norm18": 18, "group_norm21": 21, "rms_norm": 23}.get(name, 17))
    x = net.conv("input", 3, 16, stride=2)
    if name == "group_norm18":
        x = net("GroupNormalization", x, net.positive(4), net.normal(4), num_groups=4)
    elif name == "group_norm21":
        x = net("GroupNormalization", x, net.positive(16), net.normal(16), num_groups=4)
    elif name == "group_norm_decomposed":
        y = net(
            "InstanceNormalization",
            net("Reshape", x, net.ints(0, 4, -1)),
            np.ones(4, np.float32),
            np.zeros(4, np.float32),
        )
        y = net("Reshape", y, net("Shape", x))
        x = net("Add", net("Mul", y, net.positive(16, 1, 1)), net.normal(16, 1, 1))
    elif name == "instance_norm":
        x = net("InstanceNormalization", x, net.positive(16), net.normal(16))
    elif name == "layer_norm_image":
        x = net("LayerNormalization", x, net.positive(16, 16, 16), net.normal(16, 16, 16), axis=1)
    elif name == "rms_norm":
        x = net("RMSNormalization", x, net.positive(16), axis=-1)
    elif name == "lrn":
        x = net("LRN", x, size=5, alpha=0.01)
    else:
        x = net("MeanVarianceNormalization", x, axes=[0, 2, 3])
    return net.model(net.pooled(net("Relu", x), 16), ir=10)


@variant("heads", "l2_reduce", "l2_lp", "l2_clip_expand", "head_norm_dense")
def heads(name):
    net = Net()
    x = net.pooled(net.stem(16), 16)
    if name == "l2_reduce":
        x = net("Div", x, net("ReduceL2", x, axes=[1], keepdims=1))
    elif name == "l2_lp":
        x = net("LpNormalization", x, axis=1, p=2)
    elif name == "l2_clip_expand":
        length = net("Clip", net("ReduceL2", x, axes=[-1], keepdims=1), scalar(1e-12))
        x = net("Div", x, net("Expand", length, net("Shape", x)))
    else:
        x = net.dense(net.norm(x, 16), 16, 8)
    return net.model(x)


@variant(
    "resizing",
    "resize_nearest",
    "resize_linear",
    "resize_align",
    "resize_asymmetric",
    "resize_cubic",
    "resize_down",
    "resize_sizes",
    "resize_nearest_half",
)
def resizing(name):
    net = Net(opset=18)
    x = net.stem(8)
    modes = {
        "resize_nearest": {
            "mode": "nearest",
            "coordinate_transformation_mode": "asymmetric",
            "nearest_mode": "floor",
        },
        "resize_nearest_half": {"mode": "nearest"},
        "resize_linear": {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"},
        "resize_align": {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
        "resize_asymmetric": {"mode": "linear", "coordinate_transformation_mode": "asymmetric"},
        "resize_cubic": {"mode": "cubic"},
        "resize_down": {"mode": "linear", "antialias": 1},
        "resize_sizes": {"mode": "linear"},
    }[name]
    if name == "resize_sizes":
        x = net("Resize", x, "", "", net.ints(1, 8, 24, 20), **modes)
    else:
        x = net("Resize", x, "", np.float32([1, 1, 0.5, 0.5] if "down" in name else [1, 1, 2, 2]), **modes)
    x = net.conv(net("Relu", x), 8, 16, stride=2)
    return net.model(net.pooled(x, 16))


@variant(
    "padding and pools",
    "pad_reflect",
    "pad_edge",
    "pad_axes",
    "pool_ceil",
    "pool_average_pads",
    "pool_average_ceil",
    "pool_max_odd",
    "pool_lp_ceil",
    "conv_same_lower",
    "conv_asymmetric",
)
def padding(name):
    net = Net(opset=19)
    x = net.stem(16)
    if name in ("pad_reflect", "pad_edge"):
        x = net("Pad", x, net.ints(0, 0, 2, 1, 0, 0, 1, 3), mode=name[4:])
    elif name == "pad_axes":
        x = net("Pad", x, net.ints(1, 2, 3, 0), scalar(0.5), net.ints(2, 3))
    elif name == "pool_ceil":
        x = net("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    elif name == "pool_average_pads":
        x = net("AveragePool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4, count_include_pad=1)
    elif name == "pool_average_ceil":
        x = net("AveragePool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 0, 0], ceil_mode=1)
    elif name == "pool_max_odd":
        x = net("MaxPool", net("Neg", x), kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1])
    elif name == "pool_lp_ceil":
        x = net("LpPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 0, 0], ceil_mode=1, p=2)
    elif name == "conv_same_lower":
        x = net("Conv", x, net.weights(16, 16, 4, 4), auto_pad="SAME_LOWER", strides=[2, 2])
    else:
        x = net("Conv", x, net.weights(16, 16, 3, 5), pads=[0, 2, 1, 3], strides=[2, 1], dilations=[1, 2])
    return net.model(net.pooled(net.conv(x, 16, 16), 16))


@variant(
    "transposed convolutions",
    "deconv",
    "deconv_output_padding",
    "deconv_output_shape",
    "deconv_group",
    "deconv_1d",
)
def deconvolution(name):
    net = Net()
    x = net.stem(16)
    if name == "deconv":
        x = net("ConvTranspose", x, net.weights(16, 8, 4, 4), net.normal(8), strides=[2, 2], pads=[1] * 4)
    elif name == "deconv_output_padding":
        x = net(
            "ConvTranspose", x, net.weights(16, 8, 3, 3), strides=[2, 2], pads=[1] * 4, output_padding=[1, 1]
        )
    elif name == "deconv_output_shape":
        x = net("ConvTranspose", x, net.weights(16, 8, 3, 3), strides=[2, 2], output_shape=[32, 32])
    elif name == "deconv_group":
        x = net("ConvTranspose", x, net.weights(16, 2, 2, 2), strides=[2, 2], group=4)
    else:
        x = net("Reshape", x, net.ints(1, 16, -1))
        x = net("ConvTranspose", x, net.weights(16, 8, 3), strides=[2], dilations=[2])
        return net.model(net.dense(net("Flatten", net("GlobalAveragePool", x)), 8, 16))
    return net.model(net.pooled(net("Relu", x), 8))


@variant(
    "moving values",
    "focus",
    "pixel_shuffle",
    "pixel_unshuffle",
    "space_to_depth",
    "gather_channels",
    "flatten_dense",
    "flatten_transposed",
    "einsum",
    "tile_expand",
    "split_sizes",
    "reverse_slice",
    "height_softmax",
)
def moving(name):
    net = Net(opset=13)
    if name == "focus":
        parts = []
        for row, column in ((0, 0), (1, 0), (0, 1), (1, 1)):
            part = net("Slice", "input", net.ints(row), net.ints(2**62), net.ints(2), net.ints(2))
            parts.append(net("Slice", part, net.ints(column), net.ints(2**62), net.ints(3), net.ints(2)))
        x = net.conv(net("Concat", *parts, axis=1), 12, 16)
        return net.model(net.pooled(x, 16))
    x = net.stem(16)
    channels = 16
    if name == "pixel_shuffle":
        x, channels = net("DepthToSpace", x, blocksize=2, mode="CRD"), 4
    elif name == "pixel_unshuffle":
        x = net("Reshape", x, net.ints(1, 16, 8, 2, 8, 2))
        x = net("Reshape", net("Transpose", x, perm=[0, 1, 3, 5, 2, 4]), net.ints(1, 64, 8, 8))
        channels = 64
    elif name == "space_to_depth":
        x, channels = net("SpaceToDepth", x, blocksize=2), 64
    elif name == "gather_channels":
        x = net("Gather", x, np.array([3, 1, 0, -1, 7, 7], np.int64), axis=1)
        channels = 6
    elif name == "flatten_dense":
        return net.model(net.dense(net("Flatten", net.conv(x, 16, 4)), 4 * 256, 16))
    elif name == "flatten_transposed":
        x = net("Transpose", x, perm=[0, 2, 3, 1])
        return net.model(net.dense(net("Reshape", x, net.ints(1, -1)), 16 * 256, 16))
    elif name == "einsum":
        x = net("Reshape", x, net.ints(1, 16, 256))
        x = net("Einsum", x, net.weights(16, 24), equation="bct,cd->btd")
        scores = net("Softmax", net("Einsum", x, x, equation="bid,bjd->bij"), axis=-1)
        x = net("ReduceMean", net("Einsum", scores, x, equation="bij,bjd->bid"), axes=[1], keepdims=0)
        return net.model(net.dense(x, 24, 16))
    elif name == "tile_expand":
        g = net("Expand", net("GlobalAveragePool", x), net.ints(1, 16, 16, 16))
        x = net(
            "Concat",
            x,
            g,
            net("Tile", net("Slice", x, net.ints(0), net.ints(1), net.ints(2)), net.ints(1, 1, 16, 1)),
            axis=1,
        )
        channels = 48
    elif name == "split_sizes":
        a, b, c = net("Split", x, net.ints(3, 5, 8), outputs=3, axis=1)
        x = net("Concat", c, net("Sigmoid", a), b, axis=1)
    elif name == "reverse_slice":
        x = net("Slice", x, net.ints(-1), net.ints(-(2**62)), net.ints(3), net.ints(-2))
    else:
        x = net("Mul", x, net("Softmax", x, axis=2))
    return net.model(net.pooled(net.conv(x, channels, 16), 16))


# --- forms found in published networks


@variant("operators that the standard defines by others", "attention_opset23", "rotary_opset23")
def defined_by_others(name):
    net = Net(opset=23)
    x = net.stem(16)
    x = net("Transpose", net("Reshape", x, net.ints(1, 16, 256)), perm=[0, 2, 1])
    q, k, v = (net.linear(x, 16, 16) for _ in range(3))
    if name == "rotary_opset23":
        angles = np.outer(np.arange(256), [1.0, 0.1])[None]
        cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
        q, k = (net("RotaryEmbedding", t, cos, sin, num_heads=4) for t in (q, k))
    x = net("Add", x, net("Attention", q, k, v, q_num_heads=4, kv_num_heads=4))
    return net.model(net.dense(net("ReduceMean", x, net.ints(1), keepdims=0), 16, 16))


@variant("strides of 2 in one direction (text recognition)")
def depthwise_two_strides():
    net = Net()
    x = net.conv(net.stem(16), 16, 16, group=16, strides=[2, 1])
    return net.model(net.pooled(net.conv(x, 16, 16, 1), 16))


@variant("initializers listed as inputs, IR version 3")
def listed_weights_unsqueezed():
    net = Net(opset=9)
    x = net.conv("input", 3, 16)
    for op, vector in (("Mul", net.positive(16)), ("Add", net.normal(16))):
        x = net(op, x, net("Unsqueeze", vector, axes=[1, 2]))
    model = net.model(net.pooled(net("Relu", x), 16), ir=3)
    model.graph.input.extend(
        helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in model.graph.initializer
    )
    return model


def contract_shape(model):
    """Shape of one input without the batch, with channels last for images."""
    sides = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim][1:]
    if len(sides) != 3:
        return sides
    return [sides[1] or SIDE, sides[2] or SIDE, sides[0]]
