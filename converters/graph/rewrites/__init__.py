"""Rewrites of the FlatBuffer that leave the float function alone. They serve every target."""
