"""One file an access protocol."""
