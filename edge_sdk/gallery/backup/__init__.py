"""Backups: a gallery with its audit log and attempt counter in one sealed file, and the way back from it."""
