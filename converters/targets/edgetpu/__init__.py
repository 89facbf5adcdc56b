"""The edgetpu target: the Coral Edge TPU."""
