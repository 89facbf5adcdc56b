"""Read and rewrite .tflite networks."""
