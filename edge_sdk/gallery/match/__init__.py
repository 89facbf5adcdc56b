"""Compare a probe with stored templates."""
