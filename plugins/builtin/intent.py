"""What the user wants, as a feature that rules, other plugins, the journal and statistics see."""

from __future__ import annotations

from typing import ClassVar

from plugins.base import PluginBase, TurnContext
from plugins.intents.live import LIVE


class IntentRecognition(PluginBase):
    """Recognises the tenant's intents: rules can test `intent` and `intent_score`. In use, before all other plugins, as
    soon as the tenant has an intent; switched on here it runs at the place it has here, switched off not at all."""

    name = "intent"
    label = "Intents"
    pure: ClassVar[bool] = True

    async def pre_process(self, context: TurnContext) -> None:
        """Sets `intent` where one is named, `intent_score` wherever there is a text."""
        own = LIVE.value.tenants.get(context.principal.tenant_id)
        text = context.text if own is not None else ""
        found = own.classify(text) if own is not None and text.strip() else None
        if found is None:
            return
        context.features["intent_score"] = found.score
        if found.intent is not None:
            context.features["intent"] = found.intent
