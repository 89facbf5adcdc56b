"""The model file, its card and the evidence that the card carries."""
