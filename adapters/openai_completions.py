"""The older text completions of the OpenAI format (`POST <base>/completions`), for base models and services without a
chat route: a conversation becomes one prompt, by a plain template.

Source: the OpenAI API reference, completions (legacy); llama.cpp and vLLM have them too. ChatML after OpenAI's
description of it (2023) and the chat templates of Qwen."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Hashable
from contextlib import aclosing
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from adapters.conversations import refuse, refuse_tiers, schema_wanted
from adapters.openai_answers import Answer
from adapters.openai_compatible import OpenAICompatibleAdapter
from adapters.openai_requests import Options
from engine.batching import shared_usage
from engine.errors import NotSupported, UpstreamError
from engine.estimating import messages_tokens, text_tokens
from engine.folding import Fold
from engine.types import Delta, End, Json, Message, ModelCall, StoredAnswer

PARAMS: Final = frozenset({"frequency_penalty", "logit_bias", "n", "presence_penalty", "seed", "stop", "top_p"})
# `reasoning_effort` and `verbosity` are wishes and dropped.
UNKNOWN: Final = ("logprobs", "top_logprobs", "web_search_options")
ROLES: Final = {"developer": "system", "function": "tool"}
SPEAKERS: Final = {"user": "User", "assistant": "Assistant", "tool": "Tool"}
MAX_STOPS: Final = 4  # that services take
CHATML_MARK: Final = "<|im_"

_encode = msgspec.json.Encoder(order="deterministic").encode


class TextOptions(Options, frozen=True, forbid_unknown_fields=True):
    """`template`: how a conversation is written down; `max_tokens`: of an answer where the request does not say, since
    services then stop after 16."""

    template: Literal["plain", "chatml"] = "plain"
    max_tokens: Annotated[int, Meta(ge=1)] = 512


class Template(msgspec.Struct, frozen=True):
    """`write` makes the prompt; at one of `stop` the model would speak for somebody else."""

    write: Callable[[list[tuple[str, str]]], str]
    stop: tuple[str, ...]


def plain(said: list[tuple[str, str]]) -> str:
    """Instructions first as they are, then `User: …` and `Assistant: …` by turns, apart by empty lines."""
    lines = [f"{SPEAKERS[role]}: {text}" if role in SPEAKERS else text for role, text in said]
    return "\n\n".join([*lines, "Assistant:"])


def chatml(said: list[tuple[str, str]]) -> str:
    """`<|im_start|>role`, the text, `<|im_end|>`. Marks within a text are broken up: nobody speaks for another."""
    turns = [f"<|im_start|>{role}\n{text.replace(CHATML_MARK, '<| im_')}<|im_end|>\n" for role, text in said]
    return "".join([*turns, "<|im_start|>assistant\n"])


TEMPLATES: Final = {
    "plain": Template(plain, ("\n\nUser:", "\nUser:")),
    "chatml": Template(chatml, ("<|im_end|>", "<|im_start|>")),
}


class OpenAICompletionsAdapter(OpenAICompatibleAdapter):
    """Text in, text out: no tools, no images. Several prompts of one kind may share a call."""

    name = "openai_completions"
    label = "OpenAI text completions"
    capabilities = frozenset({"chat", "choices", "usage", "batches", "embeddings", "probe"})
    route = "completions"
    accepts = TextOptions
    _options: TextOptions

    async def stream(self, call: ModelCall) -> AsyncGenerator[Delta | End, None]:
        """An answer begins with its first sign that is no white space: what stands between speaker and speech."""
        begun: set[int] = set()
        async with aclosing(super().stream(call)) as items:
            async for item in items:
                if type(item) is Delta and item.index not in begun:
                    text = (item.content or "").lstrip()
                    if text:
                        begun.add(item.index)
                        yield Delta(text, index=item.index)
                else:
                    yield item

    def batch_key(self, call: ModelCall) -> Hashable:
        """Everything but the prompt. Streams go alone, and so does who wants several answers."""
        if call.request.stream or call.request.params.get("n", 1) != 1:
            return None
        return _encode(self._asked(call))

    async def answer_all(self, calls: list[ModelCall]) -> list[StoredAnswer]:
        prompts = [self._prompt(call) for call in calls]
        data = await self._whole(self._url, _encode({**self._asked(calls[0]), "prompt": prompts}))
        answer, fold = Answer(self.config.api_key), Fold()
        for delta in answer.read(data):
            fold.add(delta)
        end = answer.end()
        choices = fold.choices(end.finish_reasons, "stop")
        if [choice.index for choice in choices] != list(range(len(calls))):
            raise UpstreamError("The model's service answered another number of prompts than were sent.")
        texts = [str(choice.message.content or "").lstrip() for choice in choices]
        asked = [messages_tokens(call.messages) for call in calls]
        usages = shared_usage(end.usage, asked, list(map(text_tokens, texts)))
        return [
            StoredAnswer(
                [msgspec.structs.replace(choice, index=0, message=Message("assistant", text))],
                End({0: choice.finish_reason}, usage, end.upstream_id, end.system_fingerprint),
            )
            for choice, text, usage in zip(choices, texts, usages, strict=True)
        ]

    def _body(self, call: ModelCall) -> bytes:
        body = {**self._asked(call), "prompt": self._prompt(call)}
        if call.request.stream:
            body["stream"] = True
            if self._options.stream_usage:
                body["stream_options"] = {"include_usage": True}
        return _encode(body)

    def _asked(self, call: ModelCall) -> Json:
        """The body without the prompt."""
        request, options = call.request, self._options
        if request.tools:
            raise NotSupported("This model takes no tools.", param="tools")
        if schema_wanted(request) is not None:
            raise NotSupported("This model answers in free text only.", param="response_format")
        refuse(request, *UNKNOWN)
        refuse_tiers(request)
        asked: Json = {name: value for name, value in request.params.items() if name in PARAMS}
        asked["model"] = call.model
        asked[options.max_tokens_field] = request.max_tokens if request.max_tokens is not None else options.max_tokens
        if request.temperature is not None:
            asked["temperature"] = request.temperature
        asked["stop"] = _stops(TEMPLATES[options.template].stop, asked.get("stop") or [])
        return asked

    def _prompt(self, call: ModelCall) -> str:
        said = [(ROLES.get(message.role, message.role), _text(message)) for message in call.messages]
        return TEMPLATES[self._options.template].write(said)


def _stops(template: tuple[str, ...], own: str | list[str]) -> list[str]:
    """The template's and then the request's own, each once."""
    stops = list(dict.fromkeys([*template, *([own] if isinstance(own, str) else own)]))
    if len(stops) > MAX_STOPS:
        raise NotSupported(f"This model takes at most {MAX_STOPS - len(template)} stop sequences.", param="stop")
    return stops


def _text(message: Message) -> str:
    if message.tool_calls and not message.content:
        raise NotSupported("This model takes no tools.", param="messages")
    if not isinstance(message.content, list):
        return message.content or ""
    texts = [part.get("text") for part in message.content]
    if not all(isinstance(text, str) for text in texts):
        raise NotSupported("This model takes nothing but text.", param="messages")
    return "\n".join(str(text) for text in texts)
