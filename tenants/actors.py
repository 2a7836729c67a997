"""Who acts: what the journal says of a change of configuration. Edges, consoles, commands and tasks say it here."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, NamedTuple


class Actor(NamedTuple):
    """`name` is `operator:<user id>`, `member:<id>`, `key:<id>`, `command:<name>`, `task:<name>`, `anonymous` or
    `system`; `label` is how people call it, if that is known; `request_id` is the request's, if there is one."""

    name: str
    label: str = ""
    request_id: str = ""


SYSTEM: Final = Actor("system")

_current: ContextVar[Actor | Callable[[], Actor] | None] = ContextVar("actor", default=None)


def become(actor: Actor | Callable[[], Actor] | None) -> None:
    """From now on in this context; a function is asked when something is changed. None: nobody in particular."""
    _current.set(actor)


def current() -> Actor:
    actor = _current.get()
    return SYSTEM if actor is None else actor() if callable(actor) else actor


@contextmanager
def acting(actor: Actor | Callable[[], Actor]) -> Iterator[None]:
    """For as long as this lasts."""
    token = _current.set(actor)
    try:
        yield
    finally:
        _current.reset(token)


def account() -> str:
    """The operating system's account a command runs as; empty where it has no name."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""
