"""File format of a sealed gallery: header, content and encryption."""
