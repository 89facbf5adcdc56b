"""Kits: public networks, converted by recipes that need no images, with evidence measured on exactly these files."""
