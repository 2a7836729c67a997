"""The tables of plugins."""

from plugins.models.activation import PluginActivation

__all__ = ["PluginActivation"]
