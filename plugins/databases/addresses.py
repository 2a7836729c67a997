"""Where a tenant's database lies: the address it wrote, taken apart, and the one place that is connected to.

Unless the operator allows it, none may lie in a private network: where calls may go says `engine.addresses`. Of what an
address can say to a driver only these few things are taken: parameters that name files, other hosts or options never
reach it."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from engine import addresses
from engine.addresses import AddressRefused as AddressRefused
from plugins.databases.catalogue import Dialect

SCHEMES: Final[dict[str, Dialect]] = {
    "sqlite": "sqlite",
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "mysql": "mysql",
    "mariadb": "mysql",
}
PORTS: Final = {"postgresql": 5432, "mysql": 3306}
TLS: Final = ("disable", "prefer", "require", "verify-full")
LONGEST: Final = 1_000

_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})|[0-9A-Fa-f:.]{2,45}", re.ASCII)
_FILE: Final = re.compile(r"[\w-][\w. -]{0,99}")


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """`database` is a file's name for SQLite. `tls` is one of `TLS`."""

    dialect: Dialect
    host: str = ""
    port: int = 0
    user: str = ""
    password: str = ""
    database: str
    tls: str = "prefer"

    @property
    def server(self) -> tuple[str, int]:
        """What is connected to."""
        return self.host.lower(), self.port

    @property
    def place(self) -> str:
        """To be shown: without user and password."""
        if self.dialect == "sqlite":
            return self.database
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}/{self.database}"


def parse(url: str) -> Address:
    """`sqlite:///shop.sqlite3`, `postgresql://user:password@host:5432/shop?sslmode=require`, `mysql://…`. Raises
    AddressRefused."""
    if len(url) > LONGEST or any(sign <= " " or sign == "\x7f" for sign in url):
        raise AddressRefused("Not an address: too long, or with spaces or control characters in it.")
    try:
        parts = urlsplit(url)
        port = parts.port
        asked = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query), max_num_fields=5)
    except ValueError:
        raise AddressRefused("Not an address of a database.") from None
    dialect = SCHEMES.get(parts.scheme.partition("+")[0])
    if dialect is None:
        raise AddressRefused("The address begins with sqlite://, postgresql:// or mysql://.")
    if parts.fragment:
        raise AddressRefused("The address has a #; write it as %23.")
    database = unquote(parts.path.removeprefix("/"))
    if dialect == "sqlite":
        return _file(database, bool(parts.netloc or asked))
    if not parts.hostname or not _HOST.fullmatch(parts.hostname):
        raise AddressRefused("The address names no host.")
    if not database or len(database) > 128 or "\0" in database:
        raise AddressRefused("The address names no database.")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if not user or "\0" in user + password:
        raise AddressRefused("The address names no user.")
    return Address(
        dialect=dialect,
        host=parts.hostname,
        port=port or PORTS[dialect],
        user=user,
        password=password,
        database=database,
        tls=_tls(asked),
    )


def resolve(address: Address, *, private: bool, timeout: float | None = None) -> str:
    """The IP address of the host. Raises AddressRefused, OSError."""
    with _told():
        return addresses.resolve_blocking(address.host, address.port, private=private, timeout=timeout)[0].host


def connect(address: Address, *, private: bool, timeout: float) -> socket.socket:
    """Raises AddressRefused, OSError."""
    with _told():
        return addresses.connect_blocking(address.host, address.port, private=private, timeout=timeout)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except AddressRefused as error:
        raise AddressRefused(f"The database lies at {error}.") from None


def file_of(name: str, *, tenant: str, folder: Path | None, ours: tuple[Path, ...]) -> Path:
    """A tenant's SQLite file: in the tenant's own folder inside the operator's, and none of `ours` (files, folders).
    Raises AddressRefused."""
    if folder is None:
        raise AddressRefused("The platform's operator allows no SQLite files (DATABASE_FOLDER).")
    home = (folder / tenant).resolve()
    file = (home / name).resolve()
    if file.parent != home or not home.is_relative_to(folder.resolve()):
        raise AddressRefused("The file does not lie in the tenant's folder.")
    if any(file == each or file.is_relative_to(each) for each in ours):
        raise AddressRefused("The file is the platform's own.")
    if not file.is_file():
        raise AddressRefused("There is no such file in the tenant's folder.")
    return file


def _file(name: str, more: bool) -> Address:
    if more or not _FILE.fullmatch(name):
        raise AddressRefused("A SQLite file is given by its name alone: sqlite:///shop.sqlite3.")
    return Address(dialect="sqlite", database=name)


def _tls(asked: list[tuple[str, str]]) -> str:
    """Raises AddressRefused."""
    tls = "prefer"
    for name, value in asked:
        if name != "sslmode" or value not in TLS:
            raise AddressRefused(f"The address may say sslmode only, one of {', '.join(TLS)}.")
        tls = value
    return tls
