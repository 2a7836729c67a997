"""The tables of plugins."""

from plugins.models.activation import PluginActivation
from plugins.models.data_source import DataSource
from plugins.models.intents import Intent, IntentSettings, TrainedIntents
from plugins.models.outbox import DeliveryAttempt, HeldEvent, SinkState
from plugins.models.webhooks import Webhook

__all__ = [
    "DataSource",
    "DeliveryAttempt",
    "HeldEvent",
    "Intent",
    "IntentSettings",
    "PluginActivation",
    "SinkState",
    "TrainedIntents",
    "Webhook",
]
