"""What the network says to the clients under test: a resolver in place of the system's, a name server that changes its
mind, and whoever watches which sockets connect where."""

from __future__ import annotations

import ipaddress
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from dnslib import AAAA, CNAME, QTYPE, RR, A, DNSRecord
from dnslib.server import BaseResolver, DNSServer

from engine import addresses

_watches: list[list[tuple[str, int]]] = []
_hooked: list[bool] = []

Answers = Callable[[str, int], Sequence[str]]


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    """Every `connect` of Python's, whatever client it came from."""
    if event == "socket.connect" and _watches:
        link, place = arguments
        if link.family in (socket.AF_INET, socket.AF_INET6) and link.type == socket.SOCK_STREAM:
            for watch in _watches:
                watch.append((str(place[0]), int(place[1])))


@contextmanager
def watched() -> Iterator[list[tuple[str, int]]]:
    """Where TCP sockets of this process try to connect to meanwhile."""
    if not _hooked:
        _hooked.append(True)
        sys.addaudithook(_audit)
    seen: list[tuple[str, int]] = []
    _watches.append(seen)
    try:
        yield seen
    finally:
        _watches.remove(seen)


def forbidden(places: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """Those of them that may not be called."""
    return [place for place in places if not addresses.is_public(ipaddress.ip_address(place[0].partition("%")[0]))]


@contextmanager
def listening() -> Iterator[Trap]:
    trap = Trap()
    try:
        yield trap
    finally:
        trap.close()


class Trap:
    """Listens on loopback and notes whoever comes, and what they say first."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.server.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self.server.accept()
            except OSError:
                return
            with link:
                link.settimeout(1)
                try:
                    self.heard.append(link.recv(4096))
                except OSError:
                    self.heard.append(b"")

    def close(self) -> None:
        """The port is free then: a socket that is closed under a thread which accepts goes on listening."""
        self.server.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self.server.close()


def told(hosts: Sequence[str], port: int) -> list[tuple[Any, ...]]:
    """As `socket.getaddrinfo` tells it."""
    if not hosts:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (host, port, 0, 0))
        if ":" in host
        else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))
        for host in hosts
    ]


def resolver(answers: Answers) -> Callable[..., list[tuple[Any, ...]]]:
    """In place of `socket.getaddrinfo`. Old spellings of addresses mean to it what they mean to the C library."""
    system = socket.getaddrinfo

    def getaddrinfo(name: Any, port: Any, *_: Any, **__: Any) -> list[tuple[Any, ...]]:
        text = name.encode("idna").decode() if isinstance(name, str) else str(name or "")
        try:
            return system(text, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        except socket.gaierror:
            return told(answers(text.lower(), int(port or 0)), int(port or 0))

    return getaddrinfo


class NameServer:
    """A real one, over UDP on loopback. `answer(name, number of the question)` are addresses, or a name to go on with;
    `asked` counts the questions by name."""

    def __init__(self, answer: Callable[[str, int], Sequence[str]], *, ttl: int = 0) -> None:
        self.asked: dict[str, int] = {}
        self._answer = answer
        self._ttl = ttl
        outer = self

        class Resolver(BaseResolver):
            def resolve(self, request: DNSRecord, handler: Any) -> DNSRecord:
                return outer._reply(request)

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self._server = DNSServer(Resolver(), address="127.0.0.1", port=self.port, logger=_Silent())
        threading.Thread(target=self._server.server.serve_forever, args=(0.02,), daemon=True).start()

    def _reply(self, request: DNSRecord) -> DNSRecord:
        reply = request.reply()
        name = str(request.q.qname).rstrip(".")
        if request.q.qtype == QTYPE.A:  # A is asked first, AAAA then belongs to the same look-up
            self.asked[name] = self.asked.get(name, 0) + 1
        for value in self._answer(name, self.asked.get(name, 0)):
            if value.replace(".", "").isdecimal() and request.q.qtype == QTYPE.A:
                reply.add_answer(RR(name, QTYPE.A, rdata=A(value), ttl=self._ttl))
            elif ":" in value and request.q.qtype == QTYPE.AAAA:
                reply.add_answer(RR(name, QTYPE.AAAA, rdata=AAAA(value), ttl=self._ttl))
            elif not value.replace(".", "").isdecimal() and ":" not in value:
                reply.add_answer(RR(name, QTYPE.CNAME, rdata=CNAME(value), ttl=self._ttl))
        return reply

    def look_up(self, name: str, port: int = 0) -> list[str]:
        """As a system's stub resolver does, which keeps nothing."""
        found: list[str] = []
        for kind in ("A", "AAAA"):
            question, step = name, 0
            while question and step < 8:
                raw = DNSRecord.question(question, kind).send("127.0.0.1", self.port, timeout=5)
                answers = DNSRecord.parse(raw).rr
                found += [str(each.rdata) for each in answers if each.rtype == getattr(QTYPE, kind)]
                question = next((str(each.rdata).rstrip(".") for each in answers if each.rtype == QTYPE.CNAME), "")
                step += 1
        return found

    def stop(self) -> None:
        self._server.server.shutdown()
        self._server.server.server_close()


class _Silent:
    def __getattr__(self, _: str) -> Callable[..., None]:
        return lambda *args, **kwargs: None
