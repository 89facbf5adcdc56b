"""Pictures of a run: curves, contact sheets, and one page."""
