"""Reference model: draw product packages, photograph them with a simulated camera, and train through ``edge_train``.

`python -m tools.products --output samples/products` creates every file of `samples/products`. Drawing needs numpy and
Pillow, training needs TensorFlow.
"""
