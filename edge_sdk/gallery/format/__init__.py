"""The bytes of a sealed gallery: header, content and encryption."""
