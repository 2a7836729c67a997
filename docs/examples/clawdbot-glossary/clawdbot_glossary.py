from typing import Annotated

from msgspec import Meta

from engine.types import Message
from plugins.base import PluginBase, PluginSettings


class GlossarySettings(PluginSettings):
    terms: Annotated[dict[str, str], Meta(description="What each abbreviation stands for.")]
    footer: Annotated[str, Meta(description="Written below answers in which one is explained.")] = ""


class GlossaryPlugin(PluginBase):
    """Tells the model what the company's abbreviations in a question mean."""

    name = "glossary"
    label = "Glossary"
    pure = rehearses = True  # nothing it does reaches beyond its turn
    Settings = GlossarySettings

    async def pre_process(self, context):
        words = {word.strip(".,?!").upper() for word in context.text.split()}
        known = sorted(words & self.settings.terms.keys())
        if not known:
            context.leave()  # nothing to do with the answer: let it stream
            return
        lines = [f"{term}: {self.settings.terms[term]}" for term in known]
        context.messages.insert(0, Message(role="system", content="\n".join(lines), passing=True))
        context.features["jargon"] = True
        context.metadata["terms"] = known

    async def post_process(self, response):
        if self.settings.footer:
            response.text += f"\n\n{self.settings.footer}"
