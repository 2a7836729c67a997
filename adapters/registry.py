"""Adapters by name: the modules of this package, and outside ones by entry points of the group `clawdbot.adapters`."""

from __future__ import annotations

import adapters
from adapters.base import AdapterConfig, BaseModelAdapter, InvalidAdapterConfig
from engine.discovery import Registry
from engine.outbound import HttpClient

GROUP = "clawdbot.adapters"

_registry: Registry[BaseModelAdapter] = Registry(
    BaseModelAdapter,  # type: ignore[type-abstract]  # the base itself is never listed
    adapters,
    GROUP,
    unknown=InvalidAdapterConfig,
)
get = _registry.get
names = _registry.names
labels = _registry.labels
registered = _registry.registered
forget = _registry.forget


def build(name: str, config: AdapterConfig, http: HttpClient) -> BaseModelAdapter:
    """An adapter for one model instance. Raises InvalidAdapterConfig: unknown name or unusable configuration."""
    return get(name)(config, http)
