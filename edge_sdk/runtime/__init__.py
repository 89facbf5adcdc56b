"""Running of networks: backends, quantization and golden vectors."""
