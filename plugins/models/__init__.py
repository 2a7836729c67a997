"""The tables of plugins."""

from plugins.models.activation import PluginActivation
from plugins.models.intents import Intent, IntentSettings, TrainedIntents

__all__ = ["Intent", "IntentSettings", "PluginActivation", "TrainedIntents"]
