"""What every adapter is. `docs/adapters.md` shows a whole one."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Hashable
from functools import cached_property
from math import inf
from typing import ClassVar, Final

import msgspec

from engine.errors import NotSupported
from engine.outbound import HttpClient, Timeouts
from engine.types import Burst, Delta, EmbedCall, Embedded, End, Json, ModelCall, StoredAnswer

MAX_CONNECT_SECONDS: Final = 10.0  # unless the configuration says how many
PROBE_SECONDS: Final = 5.0

_encode = msgspec.json.Encoder(order="deterministic").encode


class InvalidAdapterConfig(ValueError):
    """An adapter cannot be built from this configuration; the text names the field and never holds the key."""


class Limits(msgspec.Struct, frozen=True):
    """Seconds a call may take from its begin, by phase. `connect`: name, TCP and TLS; `first_token`: of a stream to its
    first delta; `idle`: from a delta of a stream to the next; `stream`: to the end of one, inf: no limit; `plain`: to
    the end of an answer in one piece, of which nothing is to be seen before all of it is there; `probe`."""

    connect: float
    first_token: float
    idle: float
    stream: float
    plain: float
    probe: float

    @property
    def timeouts(self) -> Timeouts:
        """For the HTTP client, which is to be bounded from outside: no phase lasts longer."""
        return Timeouts(connect=self.connect, read=max(self.first_token, self.idle, self.plain))


class AdapterConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One model instance as its adapter sees it. Timeouts in seconds, see `engine.types.Instance`; `options` are the
    adapter's own."""

    endpoint: str = ""
    api_key: str = ""
    timeout: float = 30.0
    connect_timeout: float | None = None
    first_token_timeout: float | None = None
    idle_timeout: float | None = None
    total_timeout: float | None = None
    upstream_model: str = ""
    options: Json = {}

    @property
    def limits(self) -> Limits:
        """Every limit that is not set comes of `timeout`."""
        timeout, total = self.timeout, self.total_timeout
        first_token = self.first_token_timeout or timeout
        return Limits(
            connect=self.connect_timeout or min(MAX_CONNECT_SECONDS, timeout),
            first_token=first_token,
            idle=self.idle_timeout or timeout,
            stream=total or inf,
            plain=total or timeout,
            probe=min(first_token, PROBE_SECONDS),
        )

    def __repr__(self) -> str:
        return f"AdapterConfig(endpoint={self.endpoint!r}, upstream_model={self.upstream_model!r})"


class BaseModelAdapter(ABC):
    """One wire format, bound to one model instance. Many calls run at a time: what belongs to a call lives in `stream`.

    `name` is what an instance's `adapter` says, `label` what people read, `provider` what OpenTelemetry calls the
    service (`gen_ai.provider.name`), empty where that is the name too. `capabilities` are facts for consoles and
    tests, out of: `chat`, `tools`, `reasoning`, `refusal`, `logprobs`, `choices` (more than one), `usage` (counted by
    the service itself), `batches` (several prompts in one call), `embeddings`, `probe`.

    `__init__` refuses a configuration with InvalidAdapterConfig and opens nothing. Adapters own no connection: `http`
    is shared by all and closed by whoever made it.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    provider: ClassVar[str] = ""
    capabilities: ClassVar[frozenset[str]] = frozenset({"chat"})

    def __init__(self, config: AdapterConfig, http: HttpClient) -> None:
        self.config = config
        self.http = http

    @cached_property
    def shape(self) -> str:
        """Stands for all of the configuration that may change what is sent and what is made of the answer: the options.
        Instances for which it is the same may give each other's kept answers. It tells nothing of them."""
        options = _encode(self.config.options)
        return hashlib.blake2b(options, digest_size=16).hexdigest()

    @property
    def destination(self) -> str:
        """Where its calls go, and the key with them: `scheme://host:port`. Empty: the configured endpoint says it."""
        return ""

    @abstractmethod
    def stream(self, call: ModelCall) -> AsyncGenerator[Delta | End, None]:
        """Answers one call: any number of Deltas, none of them empty, then exactly one End, the last.

        With `call.request.stream` each Delta is yielded as soon as its bytes are here; without, one Delta a choice is
        as good. Tool calls are fragments with an `index`; those of one call join in order. `End.usage` is None unless
        the model's service counted.

        Raises nothing but EngineError, whatever arrives: UpstreamError (also for a refused key, an unknown model, an
        answer that makes no sense or stops without an end), UpstreamTimeout, UpstreamBusy with `retry_after`, and for
        a request the service calls wrong UpstreamRejected or ContextTooLong. Their texts are shown to clients: neither
        key nor address nor the service's own words, but for the explanation of a rejection.

        Closing the generator or cancelling its task closes the upstream connection before it returns.
        """

    def bursts(self, call: ModelCall) -> AsyncGenerator[Delta | Burst | End, None]:
        """The same answer as `stream`'s, where deltas that arrive together may be yielded together."""
        return self.stream(call)

    def batch_key(self, call: ModelCall) -> Hashable:
        """What calls must have in common to go upstream as one, in `answer_all`; None: this call goes alone. Whose they
        are is not for the adapter to think of: only one tenant's calls ever meet."""
        return None

    async def answer_all(self, calls: list[ModelCall]) -> list[StoredAnswer]:
        """The answers of several calls with the same `batch_key`, in their order, from one call upstream; only with the
        capability `batches`. Raises like `stream`."""
        raise NotSupported("This model answers one prompt at a time.")

    async def embed(self, call: EmbedCall) -> Embedded:
        """One vector an input, in their order, from one call upstream; only with the capability `embeddings`. Numbers
        are finite 32-bit floats. Raises like `stream`."""
        raise NotSupported("This model makes no embeddings.")

    async def probe(self) -> None:
        """Asks the service whether it is there, at no cost; only with the capability `probe`. Raises UpstreamError."""
        raise NotSupported("This model's service cannot be probed.")

    async def close(self) -> None:
        """The instance is gone or changed. Calls still running go on; only what the adapter itself made is let go."""
        return
