"""Quantize a float network: recipes, quantizers, ranges, corrections and the search for a recipe."""
