"""The whole road: check the folder, split it, train, convert, evaluate, and write the page."""
