"""Search for the number of channels of each layer under a budget of multiplications, size or time."""
