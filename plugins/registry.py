"""Plugins by name. Built-ins are the modules of `plugins.builtin`, others announce themselves by an entry point of the
group `clawdbot.plugins` (a class or a module); both come in through `_collect`."""

from __future__ import annotations

import importlib
import logging
import pkgutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any, TypeGuard

import msgspec

from plugins import builtin
from plugins.base import PluginBase, PluginSettings

GROUP = "clawdbot.plugins"

log = logging.getLogger(__name__)

PluginClass = type[PluginBase]


class InvalidPlugin(ValueError):
    """There is no such plugin."""


class InvalidSettings(ValueError):
    """Not what the plugin's `Settings` describe; the message names the setting."""


def get(name: str) -> PluginClass:
    """Raises InvalidPlugin for a name nobody has registered."""
    try:
        return _classes()[name]
    except KeyError:
        raise InvalidPlugin(f"There is no plugin {name!r}; there are: {', '.join(names())}.") from None


def names() -> list[str]:
    return sorted(_classes())


def labels() -> dict[str, str]:
    """Name to label, for forms."""
    return {name: _classes()[name].label or name for name in names()}


def read_settings(cls: PluginClass, settings: Any) -> PluginSettings:
    """Raises InvalidSettings."""
    try:
        return msgspec.convert(settings, cls.Settings)
    except msgspec.ValidationError as error:
        raise InvalidSettings(str(error)) from None


@contextmanager
def registered(*classes: PluginClass) -> Iterator[None]:
    """For tests: these plugins exist, in place of any of the same name, until the block is left."""
    known = _classes()
    before = dict(known)
    known.update({cls.name: cls for cls in classes})
    try:
        yield
    finally:
        known.clear()
        known.update(before)


@cache
def _classes() -> dict[str, PluginClass]:
    """What is installed does not change while a process runs: looked up once."""
    found: dict[str, PluginClass] = {}
    for module in pkgutil.iter_modules(builtin.__path__, f"{builtin.__name__}."):
        _collect(found, importlib.import_module(module.name), module.name)
    for entry in entry_points(group=GROUP):
        try:
            _collect(found, entry.load(), entry.value)
        except Exception:  # noqa: BLE001 - border: somebody else's package must not keep ours from starting
            log.exception("the plugin %s of %s cannot be loaded", entry.name, entry.value)
    return found


def _collect(found: dict[str, PluginClass], origin: object, source: str) -> None:
    """Adds the plugin, or those a module defines. The first to have a name keeps it."""
    members = vars(origin).values() if isinstance(origin, ModuleType) else [origin]
    for cls in members:
        if not _is_plugin(cls) or (isinstance(origin, ModuleType) and cls.__module__ != origin.__name__):
            continue
        if found.setdefault(cls.name, cls) is not cls:
            log.error("the plugin %r of %s is ignored: the name is taken", cls.name, source)


def _is_plugin(cls: object) -> TypeGuard[PluginClass]:
    return isinstance(cls, type) and issubclass(cls, PluginBase) and bool(cls.name)
