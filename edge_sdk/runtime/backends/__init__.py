"""Backend protocols, and one module for each runtime."""
