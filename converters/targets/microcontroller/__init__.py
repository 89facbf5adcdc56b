"""The microcontroller target: tflite-micro without an operating system."""
