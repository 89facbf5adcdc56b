"""The target ``edgetpu``: Coral's Edge TPU.

``target`` holds the rules, ``operators`` the operators that the compiler maps, ``placement`` predicts which operators run on the chip, and
``compiler`` runs ``edgetpu_compiler``.
"""
