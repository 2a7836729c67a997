"""The tenant's own console at `/console/`."""
