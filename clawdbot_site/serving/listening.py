"""The addresses of the servers: the web server's is bound once and handed down to whoever accepts on it."""

from __future__ import annotations

import errno
import socket

LAST_PORT = 65535


class AddressTaken(Exception):
    """Its text is one clear line for the person who started the server."""


def bind(host: str, port: int, setting: str = "PORT", *, shared: bool = False) -> socket.socket:
    """A bound TCP socket that does not listen yet: a client that comes too early is refused, not left waiting.
    `setting` is the port's, for the line that says it is taken. `shared`: our own processes may listen on it, too."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise AddressTaken(
            f"{setting.replace('PORT', 'HOST')} {host!r} is not an address of this machine: {error.strerror}."
        ) from None
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise AddressTaken(
                f"Port {port} on {host} is taken by another program. Stop it or choose another: {setting}=… make run"
            ) from None
        raise AddressTaken(f"Cannot listen on {host}:{port}: {error.strerror}.") from None
    listener.set_inheritable(True)
    return listener


def probe(host: str, port: int, setting: str) -> None:
    """Whether the address could be had right now, for servers that bind theirs themselves. Raises AddressTaken."""
    bind(host, port, setting).close()


def free_port(host: str) -> int:
    """One that nobody has right now."""
    with bind(host, 0) as found:
        return int(found.getsockname()[1])


def grpc_port(asked: int | None, web: int) -> int:
    """`asked`, or where nothing was the one next to the web server's. 0: there is to be no gRPC server."""
    if asked is not None:
        return asked
    return web + 1 if web < LAST_PORT else web - 1


def target(host: str, port: int) -> str:
    """`host:port` where a client on this machine reaches a server."""
    if host in ("", "0.0.0.0"):  # noqa: S104  # compared, not bound
        host = "127.0.0.1"
    elif host == "::":
        host = "::1"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def base_url(host: str, port: int) -> str:
    return f"http://{target(host, port)}"
