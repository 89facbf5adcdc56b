"""The reference model: a program draws products, photographs them and trains on the photos.

    python -m tools.train --output samples/products

makes every file of `samples/products`. Drawing needs numpy and Pillow, training TensorFlow.
"""
