"""One seam, one module for each runtime."""
