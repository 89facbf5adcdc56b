"""The mobile target: phones, GPU and CPU."""
