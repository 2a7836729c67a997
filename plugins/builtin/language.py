"""The plugin: what the request says of its language and what its words say, in the order the tenant chose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal

from msgspec import Meta, field

from engine import tags
from engine.types import ChatRequest, Message
from plugins.base import PluginBase, PluginSettings, TurnContext
from plugins.languages import han, models
from plugins.languages.detector import BRIEF, Found, detect, unknown
from plugins.languages.names import NAMES, USUAL
from plugins.settings_types import CHOICES

SURE: Final = 0.95  # from here on nobody asks what was said before
EARLIER: Final = 2  # messages of the user that are read for that
_READ: Final = 400  # characters of each of them

Source = Literal["body", "header", "text", "session", "default"]


class LanguageSettings(PluginSettings):
    languages: Annotated[
        list[str],
        Meta(description="Those to tell apart. The fewer, the surer.", extra={CHOICES: NAMES}),
    ] = field(default_factory=lambda: list(USUAL))
    confidence: Annotated[
        float,
        Meta(
            ge=0, le=1, description="What is less sure counts as not found, 0 to 1. One is right as often as it says."
        ),
    ] = 0.5
    first: Annotated[
        Literal["request", "body", "text"],
        Meta(
            description="What counts first. request: the body's language, then Accept-Language, then the words. body: "
            "the body's language, then the words, then Accept-Language. text: the words, then what the request says."
        ),
    ] = "request"
    default: Annotated[
        str,
        Meta(description="The language of a turn that shows none, such as zh. Empty: it has none.", max_length=35),
    ] = ""

    def __post_init__(self) -> None:
        if strange := unknown(self.languages):
            raise ValueError(f"These cannot be told apart: {', '.join(strange)}.")
        if self.default and tags.primary(self.default) not in NAMES:
            raise ValueError(f"No language is called {self.default!r}.")


class Language(PluginBase):
    """Sets the features `language` (`zh-Hans`, `zh-Hant`, `en`: rules compare the primary subtag), `language_source`
    (`body`, `header`, `text`, `session`: as the conversation before, or `default`) and `language_confidence`."""

    name = "language"
    label = "Language"
    pure = True
    Settings = LanguageSettings

    def __init__(self, settings: LanguageSettings) -> None:
        super().__init__(settings)
        self._languages = frozenset(settings.languages or USUAL)
        self._models: models.Models | None = None

    def open(self) -> None:
        self._models = models.load()
        han.load()

    async def close(self) -> None:
        self._models = None  # the last of all tenants' takes the memory along

    async def pre_process(self, context: TurnContext) -> None:
        found = self._of(context)
        if found is not None:
            tag, source, confidence = found
            context.features.update(language=tag, language_source=source, language_confidence=confidence)

    def spoken(self, request: ChatRequest) -> str | None:
        """The tag of the language that whoever wrote the request reads, for a turn that says nothing of it and failed
        before it came to the plugins."""
        users = [text for message in reversed(request.messages) if (text := _words(message))]
        found = self._in_words(users[0] if users else "", users[1:])
        return found[0] if found is not None else self.settings.default or None

    def _of(self, context: TurnContext) -> tuple[str, Source, float] | None:
        body, header = said(context.request, self._languages)
        first = self.settings.first
        if first != "text" and body:
            return body, "body", 1.0
        if first == "request" and header:
            return header, "header", 1.0
        earlier = [
            text
            for messages in (context.messages, context.history)
            for message in reversed(messages)
            if (text := _words(message))
        ]
        own = context.text
        found = self._in_words(own, earlier[1:] if own and earlier else earlier)
        if found is not None and (found[1] == "text" or not (body or header)):
            return found
        if body:
            return body, "body", 1.0
        if header:
            return header, "header", 1.0
        return (_neat(self.settings.default), "default", 0.0) if self.settings.default else None

    def _in_words(self, own: str, earlier: Sequence[str]) -> tuple[str, Source, float] | None:
        """By the newest message; what was said before is asked where that is short or shows nothing."""
        found = self._detect(own)
        if found is not None and found.confidence >= SURE:
            return found.tag, "text", found.confidence
        if earlier and len(own) <= 3 * BRIEF:
            before = self._detect("\n".join(text[:_READ] for text in earlier[:EARLIER]))
            if before is not None and before.confidence >= self.settings.confidence:
                found = self._detect(own, before.language)
                if found is None or found.confidence < self.settings.confidence:
                    return before.tag, "session", before.confidence
        if found is None or found.confidence < self.settings.confidence:
            return None
        return found.tag, "text", found.confidence

    def _detect(self, text: str, before: str | None = None) -> Found | None:
        return detect(text, self._languages, self._models or models.loaded(), before)


def said(request: ChatRequest, languages: frozenset[str]) -> tuple[str | None, str | None]:
    """What the body says and what Accept-Language says: its first tag that is one of `languages`, else its first."""
    ranked = tags.ranked(dict(request.headers).get(b"accept-language"))
    body = request.language
    if ranked and body == ranked[0]:  # the edge took it from there
        body = None
    header = next((tag for tag in ranked if tags.primary(tag) in languages), ranked[0] if ranked else None)
    return _neat(body) if body else None, _neat(header) if header else None


def _neat(tag: str) -> str:
    """The primary subtag, and the script of Chinese where it is known."""
    language = tags.primary(tag)
    script = tags.chinese_script(tag) if language == "zh" else None
    return f"{language}-{script}" if script else language


def _words(message: Message) -> str:
    """The text of a message of the user's own."""
    if message.role != "user":
        return ""
    if isinstance(message.content, list):
        return " ".join(part["text"] for part in message.content if isinstance(part.get("text"), str))
    return message.content or ""
