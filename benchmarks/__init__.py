"""Measurements: one command each, nothing here is imported by the product. `make bench` runs the usual ones."""
