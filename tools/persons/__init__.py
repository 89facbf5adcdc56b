"""Re-identification example: draw persons as six cameras see them, train on the pictures, and evaluate across cameras.

`python -m tools.persons --output work/persons` makes everything. Drawing needs numpy and Pillow, training needs TensorFlow.
"""
