"""The target ``cpu``: LiteRT with its XNNPACK delegate on a 64-bit core. ``mobile`` uses its rules too.

``target`` holds the rules, ``operators`` the operators that XNNPACK supports, ``placement`` predicts the partitions of a network.
"""
