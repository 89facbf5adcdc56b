"""Draw the HTML pages of conversions, evaluations and comparisons."""
