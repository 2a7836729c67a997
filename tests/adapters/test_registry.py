from __future__ import annotations

import pytest

from adapters import registry
from adapters.base import AdapterConfig, InvalidAdapterConfig
from adapters.echo import EchoAdapter
from tests.adapters.replay import ReplayClient


class Parrot(EchoAdapter):
    name = "parrot"
    label = "Parrot"


class FalseEcho(EchoAdapter):
    label = "Not the real one"


def test_it_knows_the_built_ins() -> None:
    assert {"echo", "openai_compatible", "scripted"} <= set(registry.names())
    assert registry.labels()["openai_compatible"] == "OpenAI-compatible"
    assert "base" not in registry.names()


def test_it_builds_by_name() -> None:
    adapter = registry.build("echo", AdapterConfig(), ReplayClient())
    assert type(adapter) is EchoAdapter


def test_it_names_what_there_is_when_asked_for_something_else() -> None:
    with pytest.raises(InvalidAdapterConfig, match="no adapter 'ehco'; there are: .*echo, .*openai_compatible"):
        registry.build("ehco", AdapterConfig(), ReplayClient())


def test_it_registers_for_a_while() -> None:
    with registry.registered(Parrot, FalseEcho):
        assert registry.get("parrot") is Parrot
        assert registry.get("echo") is FalseEcho
    assert registry.get("echo") is EchoAdapter
    with pytest.raises(InvalidAdapterConfig):
        registry.get("parrot")


def test_it_never_shows_a_key() -> None:
    assert "secret" not in repr(AdapterConfig(endpoint="http://h", api_key="secret"))
