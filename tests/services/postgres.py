"""A real PostgreSQL server for tests."""

from clawdbot_site.selftest.postgres import PostgresServer

__all__ = ["PostgresServer"]
