"""The target ``microcontroller``: tflite-micro without operating system or file system.

``target`` holds the rules, ``operators`` the operators of tflite-micro, ``interpreter`` runs tflite-micro on the host (in the child process
``interpreter_worker``), and ``c_source`` generates C++.
"""
