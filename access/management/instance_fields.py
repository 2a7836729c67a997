"""What may be said and is told of a model instance: the bodies and answers of `/api/models`."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from access import schemas
from engine.types import Json

ABSENT: Final = object()
PRICES: Final = ("price_in", "price_out")

ModelName = Annotated[str, Meta(min_length=1, max_length=200)]
Label = Annotated[str, Meta(max_length=100, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
Task = Literal["chat", "embeddings"]
Adapter = Annotated[str, Meta(min_length=1, max_length=64)]
Address = Annotated[str, Meta(max_length=500, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
ProviderKey = Annotated[str, Meta(max_length=4_000, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
Weight = Annotated[int, Meta(ge=1, le=1_000_000)]
Count = Annotated[int, Meta(ge=1, le=1_000_000_000)]
Price = Annotated[float, Meta(ge=0, le=99_999_999)]
Seconds = Annotated[float, Meta(ge=0.1, le=3600)]
Interval = Annotated[float, Meta(ge=1, le=3600)]
Window = Annotated[float, Meta(ge=0, le=1)]
Batch = Annotated[int, Meta(ge=1, le=2048)]
Languages = Annotated[list[Annotated[str, Meta(max_length=35)]], Meta(max_length=100)]


class InstanceBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A whole instance: what is left out gets its default, except `api_key`, the key at the provider: left out, the one
    that is there stays; an empty one is removed. Prices are those of a million tokens, times are seconds."""

    name: ModelName
    label: Label = ""
    enabled: bool = True
    task: Task = "chat"
    adapter: Adapter = "openai_compatible"
    endpoint: Address = ""
    api_key: ProviderKey | UnsetType = UNSET
    upstream_model: Address = ""
    options: Json = {}
    weight: Weight = 1
    max_concurrency: Count | None = None
    context_window: Count | None = None
    languages: Languages = []
    version: Label = ""
    price_in: Price = 0
    price_out: Price = 0
    timeout: Seconds | None = None
    connect_timeout: Seconds | None = None
    first_token_timeout: Seconds | None = None
    idle_timeout: Seconds | None = None
    total_timeout: Seconds | None = None
    probe_interval: Interval | None = None
    batch_window: Window = 0
    batch_size: Batch = 1


class InstancePatch(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What of an instance is to change; what is absent stays."""

    name: ModelName | UnsetType = UNSET
    label: Label | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    task: Task | UnsetType = UNSET
    adapter: Adapter | UnsetType = UNSET
    endpoint: Address | UnsetType = UNSET
    api_key: ProviderKey | UnsetType = UNSET
    upstream_model: Address | UnsetType = UNSET
    options: Json | UnsetType = UNSET
    weight: Weight | UnsetType = UNSET
    max_concurrency: Count | None | UnsetType = UNSET
    context_window: Count | None | UnsetType = UNSET
    languages: Languages | UnsetType = UNSET
    version: Label | UnsetType = UNSET
    price_in: Price | UnsetType = UNSET
    price_out: Price | UnsetType = UNSET
    timeout: Seconds | None | UnsetType = UNSET
    connect_timeout: Seconds | None | UnsetType = UNSET
    first_token_timeout: Seconds | None | UnsetType = UNSET
    idle_timeout: Seconds | None | UnsetType = UNSET
    total_timeout: Seconds | None | UnsetType = UNSET
    probe_interval: Interval | None | UnsetType = UNSET
    batch_window: Window | UnsetType = UNSET
    batch_size: Batch | UnsetType = UNSET


class InstanceAnswer(msgspec.Struct, kw_only=True):
    """An instance. Of one of the `scope` `platform` a tenant is told what it needs to choose it: the rest is null.
    `has_key`: a key at the provider is stored. `options` are shown to those who may change them."""

    id: int
    scope: Literal["tenant", "platform"]
    name: str
    label: str
    enabled: bool
    task: str
    adapter: str | None
    endpoint: str | None
    has_key: bool | None
    upstream_model: str | None
    options: Json | None
    weight: int | None
    max_concurrency: int | None
    context_window: int | None
    languages: list[str]
    version: str
    price_in: float
    price_out: float
    timeout: float | None
    connect_timeout: float | None
    first_token_timeout: float | None
    idle_timeout: float | None
    total_timeout: float | None
    probe_interval: float | None
    batch_window: float | None
    batch_size: int | None
    created_at: float


class InstancePage(msgspec.Struct):
    """The newest first; `next` is the `after` of the following page, null at the end."""

    models: list[InstanceAnswer]
    next: int | None


class AdapterAnswer(msgspec.Struct):
    """A wire format; `capabilities` are facts such as `tools` or `embeddings`."""

    name: str
    label: str
    capabilities: list[str]


class AdapterPage(msgspec.Struct):
    adapters: list[AdapterAnswer]


def given(body: msgspec.Struct) -> Json:
    """The fields that were sent, as the row has them."""
    values = schemas.given(body)
    for name in PRICES:
        if name in values:
            values[name] = Decimal(str(values[name]))  # as it was written
    return values
