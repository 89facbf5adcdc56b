"""Exports, imports and signed commands."""
