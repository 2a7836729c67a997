"""A model that does what it is told: for tests, demonstrations and drills of failures.

    model = ScriptedAdapter.saying("Hel", 0.05, "lo")              # two deltas, 50 ms between them
    model = ScriptedAdapter.saying("Hel", UpstreamTimeout())       # fails after the first
    model = ScriptedAdapter(queue=[Script(["one"]), Script([HANG])])   # the first call, and every later one

As an instance's adapter `scripted` it follows `options`, see `Options`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from enum import Enum
from typing import Final, Literal

import msgspec

from adapters.base import AdapterConfig, BaseModelAdapter, InvalidAdapterConfig
from adapters.hashing import hashed
from engine import errors
from engine.outbound import HttpClient
from engine.types import Delta, EmbedCall, Embedded, End, Json, ModelCall, Usage


class Hang(Enum):
    HANG = "waits to be cancelled"


HANG: Final = Hang.HANG

# A text or a Delta is yielded, seconds are slept, an event is awaited, an error raised; HANG waits to be cancelled.
Step = str | Delta | float | asyncio.Event | BaseException | Hang


class Script(msgspec.Struct, frozen=True):
    """One answer. `finish` None ends the stream without an End, which no good adapter does."""

    steps: Sequence[Step] = ("Hello",)
    finish: str | None = "stop"
    usage: Usage | None = Usage(prompt_tokens=3, completion_tokens=5)


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`text` in pieces of `chunk` signs with `delay` seconds before each, then `tool_calls`. `error` is a code of
    `engine.errors`, raised after `after` pieces; `hang`: wait there to be cancelled instead. `probe_error`: the code
    that probes fail with; without it they go as a call would."""

    text: str = "Hello"
    chunk: int = 0
    delay: float = 0.0
    tool_calls: list[Json] = []
    error: str = ""
    hang: bool = False
    after: int = 0
    probe_error: str = ""
    finish: Literal["stop", "length", "tool_calls", "content_filter"] = "stop"

    def script(self) -> Script:
        size = self.chunk if self.chunk > 0 else max(1, len(self.text))
        spoken: list[Step] = [self.text[start : start + size] for start in range(0, len(self.text), size)]
        if self.tool_calls:
            spoken.append(Delta(tool_calls=[{"index": index, **call} for index, call in enumerate(self.tool_calls)]))
        steps: list[Step] = [step for piece in spoken for step in ((self.delay, piece) if self.delay else (piece,))]
        if self.error or self.hang:
            steps[self.after * (2 if self.delay else 1) :] = [HANG if self.hang else _error(self.error)]
        return Script(steps, "tool_calls" if self.tool_calls else self.finish)


class ScriptedAdapter(BaseModelAdapter):
    """Follows its scripts, one a call, the last for all later calls. Everything that happened can be looked at:

    `calls` and `embed_calls` in order, `running` now, `ended` so far however they ended, `cancelled` of them, `closed`
    itself, `probes` so far. `probe_error` may be changed at any time. Embeddings are hashes, made when the script is
    through; its texts are not said then."""

    name = "scripted"
    label = "Scripted (test double)"
    capabilities = frozenset(
        {"chat", "tools", "reasoning", "refusal", "logprobs", "choices", "usage", "embeddings", "probe"}
    )

    def __init__(
        self, config: AdapterConfig | None = None, http: HttpClient | None = None, *, queue: Iterable[Script] = ()
    ) -> None:
        self.config = config or AdapterConfig()
        options = _options(self.config.options)
        self.queue = deque(queue or [options.script()])
        self.probe_error = _error(options.probe_error) if options.probe_error else None
        self.probes = 0
        self.calls: list[ModelCall] = []
        self.embed_calls: list[EmbedCall] = []
        self.running = 0
        self.ended = 0
        self.cancelled = 0
        self.closed = False

    @classmethod
    def saying(cls, *steps: Step, finish: str | None = "stop", usage: Usage | None = None) -> ScriptedAdapter:
        """One script for all calls."""
        return cls(queue=[Script(steps, finish, usage or Usage(prompt_tokens=3, completion_tokens=5))])

    def stream(self, call: ModelCall) -> AsyncGenerator[Delta | End, None]:
        self.calls.append(call)
        return self._follow()

    async def embed(self, call: EmbedCall) -> Embedded:
        self.embed_calls.append(call)
        async with aclosing(self._follow()) as steps:
            async for _ in steps:
                pass
        return hashed(call)

    async def _follow(self) -> AsyncGenerator[Delta | End, None]:
        script = self.queue.popleft() if len(self.queue) > 1 else self.queue[0]
        self.running += 1
        told = False
        try:
            for step in script.steps:
                if isinstance(step, Delta):
                    yield step
                elif step is HANG:
                    await asyncio.Event().wait()
                elif isinstance(step, str):
                    yield Delta(content=step)
                elif isinstance(step, asyncio.Event):
                    await step.wait()
                elif isinstance(step, BaseException):
                    raise step
                else:
                    await asyncio.sleep(step)
            told = True
            if script.finish is not None:
                yield End(finish_reasons={0: script.finish}, usage=script.usage)
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled += not told
            raise
        finally:
            self.running -= 1
            self.ended += 1

    async def probe(self) -> None:
        """As the next call would begin: a service that answers at all, be it to ask to wait, is there."""
        self.probes += 1
        if self.probe_error is not None:
            raise self.probe_error
        first = next((step for step in self.queue[0].steps if not isinstance(step, float)), None)
        if isinstance(first, errors.UpstreamError) and not isinstance(first, errors.UpstreamBusy):
            raise first
        if first is HANG:
            await asyncio.sleep(self.config.limits.probe)
            raise errors.UpstreamTimeout

    async def close(self) -> None:
        self.closed = True


def _options(options: Json) -> Options:
    try:
        return msgspec.convert(options, Options)
    except msgspec.ValidationError as error:
        raise InvalidAdapterConfig(f"options: {error}") from None


def _error(code: str) -> errors.EngineError:
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, errors.EngineError) and kind.code == code:
            return kind()
    raise InvalidAdapterConfig(f"options: there is no error {code!r}.")
