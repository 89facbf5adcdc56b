"""Image processing from frames and photographs to embeddings."""
