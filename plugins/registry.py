"""Plugins by name: the modules of `plugins.builtin`, and outside ones by entry points (group `clawdbot.plugins`)."""

from __future__ import annotations

from typing import Any

import msgspec

from engine.discovery import Registry
from plugins import builtin
from plugins.base import PluginBase, PluginSettings

GROUP = "clawdbot.plugins"

PluginClass = type[PluginBase]


class InvalidPlugin(ValueError):
    """There is no such plugin."""


class InvalidSettings(ValueError):
    """Not what the plugin's `Settings` describe; the message names the setting."""


_registry: Registry[PluginBase] = Registry(PluginBase, builtin, GROUP, unknown=InvalidPlugin)
get = _registry.get
names = _registry.names
labels = _registry.labels
registered = _registry.registered
extensions = _registry.extensions
forget = _registry.forget


def read_settings(cls: PluginClass, settings: Any) -> PluginSettings:
    """Raises InvalidSettings."""
    try:
        return msgspec.convert(settings, cls.Settings)
    except msgspec.ValidationError as error:
        raise InvalidSettings(str(error)) from None
