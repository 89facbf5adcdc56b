"""A lock that recognizes people: an installation of a kit on this computer, and the program that opens the door."""
