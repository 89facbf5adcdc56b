"""The model file, its card, and what runs it."""
