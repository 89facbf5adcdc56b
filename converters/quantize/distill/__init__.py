"""Recovery without labels: the float embedding is distilled into the network that rounds as the int8 file does."""
