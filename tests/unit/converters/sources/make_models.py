"""Write small test models of every source kind but PyTorch into a folder: ``python make_models.py FOLDER``.

The tests run this script in a separate process, so that their own process never loads TensorFlow.
"""

import os
import sys
from pathlib import Path

os.environ.update(
    TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1", TF_ENABLE_ONEDNN_OPTS="0", KERAS_BACKEND="tensorflow"
)

import keras
import numpy as np
import onnx
import tensorflow as tf
import tf_keras
from onnx import TensorProto, helper, numpy_helper

SIDE = 32
D = 16
layers = keras.layers


def backbone(shape=(SIDE, SIDE, 3), head=None):
    """Build a small MobileFaceNet: convolution, depthwise, PReLU, pooling, embedding."""
    image = keras.Input(shape)
    x = image
    for filters in (8, 16):
        x = layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        slopes = keras.initializers.RandomUniform(0.1, 0.4, seed=filters)
        x = layers.PReLU(shared_axes=[1, 2], alpha_initializer=slopes)(x)
        x = layers.DepthwiseConv2D(3, padding="same")(x)
    x = layers.Dense(D)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, head(x) if head else x)


@keras.saving.register_keras_serializable(package="private")
class Doubled(layers.Layer):
    """A custom layer, whose code is not in the model file."""

    def call(self, x):
        return x * 2


@keras.saving.register_keras_serializable(package="private")
class MarginLoss(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return keras.ops.mean(y_pred - y_true, axis=-1)


class Plain(tf.Module):
    """A TensorFlow network without Keras, for batches of any size."""

    def __init__(self):
        super().__init__()
        self.kernel = tf.Variable(np.random.default_rng(1).normal(size=(3, 3, 3, D)), dtype=tf.float32)

    @tf.function(input_signature=[tf.TensorSpec((None, SIDE, SIDE, 3), tf.float32)])
    def __call__(self, image):
        return {"embedding": tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(image, self.kernel, 2, "SAME")), [1, 2])}


class Bytes(tf.Module):
    """A network with a uint8 input, which is refused."""

    @tf.function(input_signature=[tf.TensorSpec((None, SIDE, SIDE, 3), tf.uint8)])
    def __call__(self, image):
        return {"embedding": tf.reduce_mean(tf.cast(image, tf.float32), [1, 2])}


def save_module(module, folder):
    tf.saved_model.save(module, str(folder), signatures=module.__call__)


def write_keras(folder):
    keras.utils.set_random_seed(0)
    network = backbone()
    network.save(folder / "face.keras")
    network.save(folder / "face.h5")
    network.save_weights(folder / "face.weights.h5")
    network.export(folder / "exported")
    open_size = backbone((None, None, 3))
    open_size.compile("sgd", MarginLoss())
    open_size.save(folder / "open_size.keras")
    keras.config.set_dtype_policy("mixed_float16")
    backbone().save(folder / "mixed.keras")
    keras.config.set_dtype_policy("float32")
    backbone(head=lambda x: layers.Lambda(lambda z: z * 2, name="twice")(x)).save(folder / "lambda.keras")
    backbone(head=Doubled()).save(folder / "custom.keras")
    label = keras.Input((1,), name="label")
    training = keras.Model([network.input, label], [network.output, layers.Dense(5)(label)])
    training.save(folder / "training.keras")
    keras.Model(network.input, [layers.Dense(5, name="classes")(network.output), network.output]).save(
        folder / "two_outputs.keras"
    )
    old = tf_keras.Sequential(
        [
            tf_keras.layers.Conv2D(8, 3, strides=2, input_shape=(SIDE, SIDE, 3)),
            tf_keras.layers.PReLU(shared_axes=[1, 2]),
            tf_keras.layers.DepthwiseConv2D(3),
            tf_keras.layers.GlobalAveragePooling2D(),
            tf_keras.layers.Dense(D),
        ]
    )
    old.save(folder / "keras2.h5")
    save_module(Plain(), folder / "plain")
    save_module(Bytes(), folder / "bytes")
    return network


def tflite(call, shape=(1, SIDE, SIDE, 3), ops=None, optimize=False):
    spec = tf.TensorSpec(shape, tf.float32, name="image")
    module = tf.Module()
    module.call = tf.function(call, input_signature=[spec])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.call.get_concrete_function()], module)
    converter.target_spec.supported_ops = ops or [tf.lite.OpsSet.TFLITE_BUILTINS]
    converter.optimizations = [tf.lite.Optimize.DEFAULT] if optimize else []
    return converter.convert()


def write_tflite(folder, network):
    weights = tf.constant(np.random.default_rng(2).normal(size=(3, D)), tf.float32)
    kernel = tf.constant(np.random.default_rng(3).normal(size=(SIDE * SIDE * 3, D)), tf.float32)

    def embed(image):
        return tf.reduce_mean(tf.nn.relu(image), [1, 2]) @ weights

    def inverse(image):
        return tf.reshape(tf.linalg.inv(tf.reshape(embed(image), (1, 4, 4))), (1, D))

    every = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    networks = {
        "dynamic": tf.lite.TFLiteConverter.from_saved_model(str(folder / "exported")).convert(),
        "batch2": tflite(embed, (2, SIDE, SIDE, 3)),
        "softmax": tflite(lambda image: tf.reshape(tf.nn.softmax(embed(image)), (1, 1, D))),
        "map": tflite(lambda image: tf.nn.avg_pool2d(image, 8, 8, "VALID")),
        "scalar": tflite(lambda image: tf.reduce_mean(image, [1, 2, 3])),
        "two_outputs": tflite(lambda image: (embed(image), tf.nn.relu(embed(image)))),
        "constant": tflite(lambda image: embed(image) * 0.0 + weights[:1]),
        "nan": tflite(lambda image: tf.math.log(-tf.abs(embed(image)))),
        "flex": tflite(inverse, ops=every),
        "integer_weights": tflite(lambda i: tf.reshape(i, (1, -1)) @ kernel, optimize=True),
    }
    for name, data in networks.items():
        (folder / f"{name}.tflite").write_bytes(data)
    data = (folder / "dynamic.tflite").read_bytes()
    (folder / "cut.tflite").write_bytes(data[: len(data) * 9 // 10])


class OnnxNetwork:
    """Builder of small ONNX networks: convolution, PRelu, pooling and the operators that a caller adds."""

    def __init__(self, channels=3):
        rng = np.random.default_rng(4)
        self.nodes = []
        self.stored = {
            "kernel": rng.normal(size=(8, channels, 3, 3)).astype(np.float32),
            "slope": rng.uniform(0.1, 0.4, size=(8, 1, 1)).astype(np.float32),
            "weight": rng.normal(size=(8, D)).astype(np.float32),
        }

    def add(self, kind, inputs, output, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def store(self, name, values):
        self.stored[name] = values
        return name

    def embed(self, image, *kernel):
        x = self.add("Conv", [image, *(kernel or ["kernel"])], "conv", strides=[2, 2], pads=[1, 1, 1, 1])
        x = self.add("PRelu", [x, "slope"], "prelu")
        return self.add("GlobalAveragePool", [x], "pool")

    def flatten_like_pytorch(self, x):
        """Add x.view(x.size(0), -1) in the operators that torch.onnx.export writes for it."""
        size = self.add("Shape", [x], "size")
        batch = self.add("Gather", [size, self.store("zero", np.array(0, np.int64))], "batch", axis=0)
        batch = self.add("Unsqueeze", [batch, self.store("axes", np.array([0], np.int64))], "batch1")
        shape = self.add("Concat", [batch, self.store("rest", np.array([-1], np.int64))], "shape", axis=0)
        return self.add("Reshape", [x, shape], "flat")

    def model(self, image, output="embedding", extra_inputs=(), outputs=(), opset=21, kind=TensorProto.FLOAT):
        names = [output, *outputs]
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info("image", kind, image), *extra_inputs],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names],
            [numpy_helper.from_array(value, name) for name, value in self.stored.items()],
        )
        # The outputs have no shape (None), which differs from an empty shape.
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
        return onnx.shape_inference.infer_shapes(model)


def onnx_channels_last():
    """Build an NHWC network with dynamic batch and size, an exporter's Shape arithmetic and block-quantized weights.

    Its bias is in one block, which onnxruntime refuses.
    """
    net = OnnxNetwork()
    rng = np.random.default_rng(5)
    scales = rng.uniform(0.01, 0.03, size=(8, 3)).astype(np.float32)
    net.store("quantized", rng.integers(-127, 128, size=(8, 27)).astype(np.int8))
    net.store("scales", scales)
    net.store("zeros", np.zeros(scales.shape, np.int8))
    flat = net.add("DequantizeLinear", ["quantized", "scales", "zeros"], "float", axis=1, block_size=9)
    shape = net.store("kernel_shape", np.array([8, 3, 3, 3], np.int64))
    kernel = net.add("Reshape", [flat, shape], "dequantized")
    net.store("bias_quantized", rng.integers(-127, 128, size=8).astype(np.int8))
    net.store("bias_scale", np.float32([0.02]))
    bias = net.add("DequantizeLinear", ["bias_quantized", "bias_scale"], "bias", axis=0, block_size=64)
    turned = net.add("Transpose", ["image"], "turned", perm=[0, 3, 1, 2])
    net.add("MatMul", [net.flatten_like_pytorch(net.embed(turned, kernel, bias)), "weight"], "embedding")
    unread = helper.make_tensor_value_info("kernel_float", TensorProto.FLOAT, [8, 3, 3, 3])
    return net.model(["N", "H", "W", 3], extra_inputs=[unread])


def onnx_gray_batch():
    """Build a gray network with a fixed batch of 2, repeated in a Reshape, and an output name that TensorFlow refuses."""
    net = OnnxNetwork(channels=1)
    shape = net.store("shape", np.array([2, -1], np.int64))
    flat = net.add("Reshape", [net.embed("image"), shape], "flat")
    net.add("MatMul", [flat, "weight"], "\u00e9mbedding [0];")
    return net.model([2, 1, SIDE, SIDE], output="\u00e9mbedding [0];")


def onnx_quantized():
    net = OnnxNetwork()
    scale, zero = net.store("scale", np.float32(0.02).reshape(())), net.store("zero", np.array(0, np.int8))
    low = net.add("QuantizeLinear", ["image", scale, zero], "low")
    image = net.add("DequantizeLinear", [low, scale, zero], "again")
    net.add("MatMul", [net.add("Flatten", [net.embed(image)], "flat"), "weight"], "embedding")
    return net.model([1, 3, SIDE, SIDE])


def onnx_plain(**options):
    net = OnnxNetwork()
    net.add("MatMul", [net.add("Flatten", [net.embed("image")], "flat"), "weight"], "embedding")
    return net.model([1, 3, SIDE, SIDE], **options)


def onnx_unknown_operator():
    """Build a network with MaxRoiPool, which is in the ONNX standard and which no converter writes."""
    net = OnnxNetwork()
    regions = net.store("regions", np.float32([[0, 0, 0, 1, 1]]))
    net.add("MaxRoiPool", [net.embed("image"), regions], "embedding", pooled_shape=[1, 1])
    return net.model([1, 3, SIDE, SIDE])


def onnx_clipped_gru():
    """Build a network with a GRU whose attribute ``clip`` the lowering refuses."""
    net = OnnxNetwork()
    flat = net.add("Flatten", [net.embed("image")], "flat")
    shape = net.store("steps", np.array([1, 1, -1], np.int64))
    steps = net.add("Reshape", [flat, shape], "sequence")
    rng = np.random.default_rng(7)
    weights = net.store("gru_w", rng.normal(0, 0.1, (1, 3 * D, 8)).astype(np.float32))
    recurrence = net.store("gru_r", rng.normal(0, 0.1, (1, 3 * D, D)).astype(np.float32))
    net.add("GRU", [steps, weights, recurrence], "states", hidden_size=D, clip=1.0)
    target = net.store("target", np.array([1, D], np.int64))
    net.add("Reshape", ["states", target], "embedding")
    return net.model([1, 3, SIDE, SIDE])


def onnx_classifier():
    """Build a network with the class probabilities of a softmax as output."""
    net = OnnxNetwork()
    features = net.add("MatMul", [net.add("Flatten", [net.embed("image")], "flat"), "weight"], "features")
    net.store("classes", np.random.default_rng(6).normal(size=(D, 5)).astype(np.float32))
    net.store("bias", np.zeros(5, np.float32))
    scores = net.add("Gemm", [features, "classes", "bias"], "scores")
    net.add("Softmax", [scores], "embedding", axis=1)
    return net.model([1, 3, SIDE, SIDE])


def write_onnx(folder):
    onnx.save(onnx_channels_last(), folder / "channels_last.onnx")
    onnx.save(onnx_gray_batch(), folder / "gray_batch2.onnx")
    onnx.save(onnx_quantized(), folder / "quantized.onnx")
    onnx.save(onnx_clipped_gru(), folder / "clipped_gru.onnx")
    onnx.save(onnx_unknown_operator(), folder / "unknown_operator.onnx")
    onnx.save(onnx_classifier(), folder / "classifier.onnx")
    plain = onnx_plain()
    onnx.save(onnx_plain(outputs=["pool"]), folder / "two_outputs.onnx")
    onnx.save(plain, folder / "whole.onnx")
    data = (folder / "whole.onnx").read_bytes()
    (folder / "cut.onnx").write_bytes(data[: len(data) * 8 // 10])
    nonstandard = onnx_plain()
    nonstandard.graph.node[0].domain = "com.microsoft"
    nonstandard.opset_import.add(domain="com.microsoft", version=1)
    onnx.save(nonstandard, folder / "nonstandard_operator.onnx")
    newer = onnx_plain()
    newer.opset_import[0].version = 99
    onnx.save(newer, folder / "newer.onnx")
    onnx.save(
        plain, folder / "external.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    (folder / "weights.bin").unlink()


def main(folder):
    network = write_keras(folder)
    write_tflite(folder, network)
    write_onnx(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
