"""Adapters by name. Built-ins are the modules of this package, others announce themselves by an entry point of the
group `clawdbot.adapters` (a class or a module); both come in through `_collect`."""

from __future__ import annotations

import importlib
import logging
import pkgutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import entry_points
from inspect import isabstract
from types import ModuleType
from typing import TypeGuard

import adapters
from adapters.base import AdapterConfig, BaseModelAdapter, InvalidAdapterConfig
from engine.outbound import HttpClient

GROUP = "clawdbot.adapters"

log = logging.getLogger(__name__)

AdapterClass = type[BaseModelAdapter]


def build(name: str, config: AdapterConfig, http: HttpClient) -> BaseModelAdapter:
    """An adapter for one model instance. Raises InvalidAdapterConfig: unknown name or unusable configuration."""
    return get(name)(config, http)


def get(name: str) -> AdapterClass:
    """Raises InvalidAdapterConfig for a name nobody has registered."""
    try:
        return _classes()[name]
    except KeyError:
        raise InvalidAdapterConfig(f"There is no adapter {name!r}; there are: {', '.join(names())}.") from None


def names() -> list[str]:
    return sorted(_classes())


def labels() -> dict[str, str]:
    """Name to label, for forms."""
    return {name: _classes()[name].label for name in names()}


@contextmanager
def registered(*classes: AdapterClass) -> Iterator[None]:
    """For tests: these adapters exist, in place of any of the same name, until the block is left."""
    known = _classes()
    before = dict(known)
    known.update({cls.name: cls for cls in classes})
    try:
        yield
    finally:
        known.clear()
        known.update(before)


@cache
def _classes() -> dict[str, AdapterClass]:
    """What is installed does not change while a process runs: looked up once."""
    found: dict[str, AdapterClass] = {}
    for module in pkgutil.iter_modules(adapters.__path__, f"{adapters.__name__}."):
        _collect(found, importlib.import_module(module.name), module.name)
    for entry in entry_points(group=GROUP):
        try:
            _collect(found, entry.load(), entry.value)
        except Exception:  # noqa: BLE001 - border: somebody else's package must not keep ours from starting
            log.exception("the adapter %s of %s cannot be loaded", entry.name, entry.value)
    return found


def _collect(found: dict[str, AdapterClass], origin: object, source: str) -> None:
    """Adds the adapter, or those a module defines. The first to have a name keeps it."""
    members = vars(origin).values() if isinstance(origin, ModuleType) else [origin]
    for cls in members:
        if not _is_adapter(cls) or (isinstance(origin, ModuleType) and cls.__module__ != origin.__name__):
            continue
        if found.setdefault(cls.name, cls) is not cls:
            log.error("the adapter %r of %s is ignored: the name is taken", cls.name, source)


def _is_adapter(cls: object) -> TypeGuard[AdapterClass]:
    return isinstance(cls, type) and issubclass(cls, BaseModelAdapter) and not isabstract(cls)
