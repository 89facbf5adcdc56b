"""Rewrites of a network graph that keep the float function; every target uses them."""
