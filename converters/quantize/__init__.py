"""From the float network to another number format, one module for each way."""
