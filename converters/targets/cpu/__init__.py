"""The cpu target: LiteRT with the XNNPACK delegate."""
