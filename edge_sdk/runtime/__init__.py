"""Run networks: backends, quantization and golden vectors."""
