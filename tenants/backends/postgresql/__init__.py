"""Django's backend for PostgreSQL, with the wall of `tenants.walls`."""
