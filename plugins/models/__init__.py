"""The tables of plugins."""

from plugins.models.activation import PluginActivation
from plugins.models.data_source import DataSource

__all__ = ["DataSource", "PluginActivation"]
