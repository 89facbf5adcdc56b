"""Lower ONNX operators to TensorFlow operators that TFLite has; imported only in the child process.

Each tensor carries the order in which its axes are stored, so that a Transpose costs nothing and convolutions compute
with channels last. No layout is guessed: axes are moved only if an operator needs another order.
"""
