"""Decision and enrolment rules."""
