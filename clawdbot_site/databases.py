"""Turns the addresses of the settings into what Django, Valkey's clients and Celery each want to read."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from tenants.addresses import numbered as numbered  # settings.py asks for it here

SOCKET_PATH_LIMIT = 100  # the kernel takes 108 bytes with the closing NUL; room for a suffix


def sql(name: str, url: str) -> dict[str, Any]:
    """`sqlite:///path` (four slashes: absolute) or `postgresql://user:password@host:port/database?option=value`."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": parts.path[1:] or ":memory:",
            "OPTIONS": {
                "timeout": 20,
                # who reads the journal must never take the write lock of its writer
                "transaction_mode": "DEFERRED" if name == "JOURNAL_URL" else "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;",
            },
        }
    if parts.scheme in ("postgres", "postgresql"):
        return {
            "ENGINE": "tenants.backends.postgresql",
            "NAME": unquote(parts.path[1:]),
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or ""),
            "HOST": parts.hostname or "",
            "PORT": str(parts.port or ""),
            "CONN_MAX_AGE": 60,
            "CONN_HEALTH_CHECKS": True,
            "OPTIONS": dict(parse_qsl(parts.query)),
        }
    raise ImproperlyConfigured(f"{name}: {parts.scheme!r} is neither sqlite nor postgresql")


def valkey(name: str, host: str, password: str, socket: Path) -> list[str]:
    """The nodes of `REDIS_HOST` (a host, host:port, a comma list, or a URL) as URLs; empty: the embedded server."""
    if not host:
        return [f"unix://{socket}"]
    if "://" in host:
        if urlsplit(host).scheme not in ("redis", "rediss", "valkey", "valkeys", "unix"):
            raise ImproperlyConfigured(f"{name}: {host!r} is not a redis://, rediss:// or unix:// address")
        return [host.replace("valkeys://", "rediss://").replace("valkey://", "redis://")]
    login = f":{quote(password, safe='')}@" if password else ""
    nodes = []
    for node in host.split(","):
        address, _, port = node.strip().rpartition(":") if ":" in node else (node.strip(), "", "6379")
        if not address or not port.isdigit():
            raise ImproperlyConfigured(f"{name}: {node.strip()!r} is not host:port")
        nodes.append(f"redis://{login}{address}:{port}")
    return nodes


def passwords(urls: Iterable[str]) -> list[str]:
    """Those in these addresses, as they are written there and as they are."""
    found = [urlsplit(url).password or "" for url in urls]
    return [*found, *map(unquote, found)]


def broker(url: str) -> str:
    """Kombu's spelling of a unix socket."""
    if not url.startswith("unix://"):
        return url
    path, _, query = url.removeprefix("unix://").partition("?")
    database = dict(parse_qsl(query)).get("db", "0")
    return f"redis+socket://{path}?virtual_host={database}"


def socket_path(var: Path) -> Path:
    """Where the embedded Valkey listens: under `var`, or in the temporary folder when that is too long for a socket."""
    path = (var / "valkey" / "valkey.sock").resolve()
    if len(str(path)) <= SOCKET_PATH_LIMIT:
        return path
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"clawdbot-{digest}" / "valkey.sock"
