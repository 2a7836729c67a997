"""Addresses of Valkey and Redis servers: `unix:///path?db=N`, `redis://[user:password@]host:port/N`, `rediss://` (TLS).

Pure functions: the settings read them too."""

from __future__ import annotations

import ssl
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

SCHEMES = ("redis", "rediss", "valkey", "valkeys", "unix")
DEFAULT_PORT = 6379


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """One numbered database of one server. `path` is a unix socket's; then host and port mean nothing.

    `private` is said of a tenant's own server: whether it may lie in a private network; None, of the platform's: it may
    lie anywhere. Of the options of redis-py's URLs two are known: `ssl_ca_certs` (a file) and `ssl_cert_reqs=none`."""

    path: str = ""
    host: str = ""
    port: int = DEFAULT_PORT
    database: int = 0
    username: str = ""
    password: str = ""
    tls: bool = False
    ca_file: str = ""
    verify: bool = True
    private: bool | None = None

    def __str__(self) -> str:
        """For logs: without the password."""
        return f"{self.path or f'{self.host}:{self.port}'} database {self.database}"

    def tls_context(self) -> ssl.SSLContext | None:
        if not self.tls:
            return None
        context = ssl.create_default_context(cafile=self.ca_file or None)
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def parse(url: str) -> Address:
    """Raises ValueError for anything that is not such an address."""
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise ValueError("a Valkey address begins with redis://, rediss:// or unix://")
    options = dict(parse_qsl(parts.query))
    number = options.get("db", "0") if parts.scheme == "unix" else parts.path.strip("/") or options.get("db", "0")
    if not number.isdecimal():
        raise ValueError("the database of a Valkey address is a number")
    if not (parts.path if parts.scheme == "unix" else parts.hostname):
        raise ValueError("a Valkey address names a host or a socket")
    return Address(
        path=unquote(parts.path) if parts.scheme == "unix" else "",
        host=parts.hostname or "",
        port=parts.port or DEFAULT_PORT,
        database=int(number),
        username=unquote(parts.username or ""),
        password=unquote(parts.password or options.get("password", "")),
        tls=parts.scheme in ("rediss", "valkeys"),
        ca_file=options.get("ssl_ca_certs", ""),
        verify=options.get("ssl_cert_reqs", "required") != "none",
    )


def numbered(url: str, database: int) -> str:
    """The same server, another database."""
    if url.startswith("unix://"):
        path, _, query = url.partition("?")
        kept = [pair for pair in query.split("&") if pair and not pair.startswith("db=")]
        return f"{path}?{'&'.join([*kept, f'db={database}'])}"
    parts = urlsplit(url)
    return parts._replace(path=f"/{database}").geturl()
