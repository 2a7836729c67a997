"""Everything an installation needs to go on elsewhere, in one file (see `docs/backup.md`)."""
