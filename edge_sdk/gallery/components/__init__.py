"""The components of `Gallery`: `gallery.keys`, `gallery.audit`, `gallery.attempts` and `gallery.exchange`."""
