"""Questions in words, answered out of a tenant's own database: what may be read there, checked, run and told."""
