"""What files are worth on labelled images: embed with the device's code, compare, measure, say it, write it down.

``converters.evaluate.metrics`` knows the arithmetic of error rates; here are files, images, caches and processes.
"""
