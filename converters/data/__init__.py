"""Image sets, calibration crops and their embeddings."""
