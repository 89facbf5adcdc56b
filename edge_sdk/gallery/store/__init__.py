"""Gallery files on disk: atomic writes, the anchor and the audit log."""
