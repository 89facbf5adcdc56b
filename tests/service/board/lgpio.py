"""Stands for the package of the board."""
