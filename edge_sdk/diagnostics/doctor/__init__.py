"""Checks of a device. Each check reports a status and advice; none changes the device."""

from edge_sdk.diagnostics.doctor.check_result import CheckResult, CheckStatus

__all__ = ["CheckResult", "CheckStatus"]
