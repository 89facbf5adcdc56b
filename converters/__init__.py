"""Turn a trained embedding network into an int8 file for small hardware and prove what it is worth."""
