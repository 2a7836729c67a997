from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any

import pytest

from adapters import registry
from adapters.base import AdapterConfig, BaseModelAdapter, InvalidAdapterConfig
from adapters.echo import EchoAdapter
from tests.adapters.replay import ReplayClient


class Parrot(EchoAdapter):
    name = "parrot"
    label = "Parrot"


class FalseEcho(EchoAdapter):
    label = "Not the real one"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[EntryPoint]]:
    """Entry points as if these packages were installed."""
    points: list[EntryPoint] = []
    monkeypatch.setattr(registry, "entry_points", lambda group: [point for point in points if point.group == group])
    registry._classes.cache_clear()
    yield points
    registry._classes.cache_clear()


def point(value: str, group: str = registry.GROUP) -> EntryPoint:
    return EntryPoint("some-package", value, group)


def test_it_knows_the_built_ins() -> None:
    assert {"echo", "openai_compatible", "scripted"} <= set(registry.names())
    assert registry.labels()["openai_compatible"] == "OpenAI-compatible"
    assert "base" not in registry.names()


def test_it_builds_by_name() -> None:
    adapter = registry.build("echo", AdapterConfig(), ReplayClient())
    assert type(adapter) is EchoAdapter


def test_it_names_what_there_is_when_asked_for_something_else() -> None:
    with pytest.raises(InvalidAdapterConfig, match="no adapter 'ehco'; there are: echo, openai_compatible"):
        registry.build("ehco", AdapterConfig(), ReplayClient())


def test_it_registers_for_a_while() -> None:
    with registry.registered(Parrot, FalseEcho):
        assert registry.get("parrot") is Parrot
        assert registry.get("echo") is FalseEcho
    assert registry.get("echo") is EchoAdapter
    with pytest.raises(InvalidAdapterConfig):
        registry.get("parrot")


@pytest.mark.parametrize("value", ["tests.adapters.test_registry:Parrot", "tests.adapters.test_registry"])
def test_it_finds_other_packages_by_entry_point(value: str, installed: list[EntryPoint]) -> None:
    installed += [point(value), point("tests.adapters.test_registry:FalseEcho", "another.group")]
    assert registry.get("parrot") is Parrot


def test_it_keeps_a_built_in_whose_name_is_taken_by_another(installed: list[EntryPoint], caplog: Any) -> None:
    installed.append(point("tests.adapters.test_registry:FalseEcho"))
    assert registry.get("echo") is EchoAdapter
    assert "the name is taken" in caplog.text


@pytest.mark.parametrize("value", ["nowhere.to.be_found:Adapter", "tests.adapters.test_registry:Missing"])
def test_it_starts_without_a_package_that_is_broken(value: str, installed: list[EntryPoint], caplog: Any) -> None:
    installed.append(point(value))
    assert "echo" in registry.names()
    assert value in caplog.text


def test_it_takes_no_class_a_module_only_imports() -> None:
    module = ModuleType("elsewhere")
    module.EchoAdapter = EchoAdapter  # type: ignore[attr-defined]
    module.BaseModelAdapter = BaseModelAdapter  # type: ignore[attr-defined]
    found: dict[str, Any] = {}
    registry._collect(found, module, "elsewhere")
    assert found == {}


def test_it_never_shows_a_key() -> None:
    assert "secret" not in repr(AdapterConfig(endpoint="http://h", api_key="secret"))
