"""Distillation without labels: train an int8 network to reproduce the embeddings of the float network."""
