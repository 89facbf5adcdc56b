"""Look at a device before a door hangs on it: each check finds, names and says what to do; none repairs."""

from edge_sdk.diagnostics.doctor.finding import Finding, Status

__all__ = ["Finding", "Status"]
