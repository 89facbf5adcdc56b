"""The target ``ethos-u``: Arm's NPUs Ethos-U55, U65 and U85.

``target`` holds the rules, ``operators`` the operators that each NPU supports, and ``compiler`` runs Arm's compiler, vela.
"""
