"""The target ``mobile``: float16 for a phone's GPU, int8 for its CPU.

``target`` holds the rules and generates an app's assets, ``operators`` lists the operators that LiteRT's GPU delegate supports. The rules for
the CPU are those of ``converters.targets.cpu``.
"""
