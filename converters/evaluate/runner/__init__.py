"""Evaluation of artefacts on labelled images: embed with the device's code, compare, report, and write the card.

``converters.evaluate.metrics`` computes the error rates; this package handles files, images, caches and processes.
"""
