"""Read any trained file as one float network in canonical form, checked against its own runtime."""
