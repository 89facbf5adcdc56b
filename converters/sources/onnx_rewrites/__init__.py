"""Rewrites of ONNX graphs into forms that converters read; imported only in the child process."""
