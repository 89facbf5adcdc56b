"""Losses of metric learning as Keras layers: heads with class weights, and losses on pairs, triplets and batches."""
