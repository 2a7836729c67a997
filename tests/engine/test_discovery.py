from __future__ import annotations

import json
from abc import ABC, abstractmethod
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from engine import discovery
from engine.discovery import Registry

GROUP = "clawdbot.birds"


class Bird(ABC):
    name = ""

    @abstractmethod
    def sing(self) -> str: ...


class Parrot(Bird):
    name = "parrot"

    def sing(self) -> str:
        return "hello"


class Impostor(Parrot):
    label = "Not the real one"


class Nameless(Bird):
    def sing(self) -> str:
        return "tweet"


class Unfinished(Bird):
    name = "egg"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    """Entry points as if these packages were installed."""
    points: list[EntryPoint] = []
    monkeypatch.setattr(discovery, "entry_points", lambda group: [point for point in points if point.group == group])
    return points


def point(what: str, group: str = GROUP) -> EntryPoint:
    return EntryPoint("some-package", f"tests.engine.test_discovery{what}", group)


def registry() -> Registry[Bird]:
    return Registry(Bird, json, GROUP, unknown=LookupError)  # a package without birds in it


def test_it_finds_other_packages_by_entry_point(installed: list[EntryPoint]) -> None:
    installed += [point(":Parrot"), point(":Unfinished"), point(":Impostor", "another.group")]
    assert registry().names() == ["parrot"]
    assert registry().get("parrot") is Parrot
    assert registry().labels() == {"parrot": "parrot"}


def test_it_takes_whatever_a_module_defines_first_come_first_served(installed: list[EntryPoint], caplog: Any) -> None:
    installed += [point(":Parrot"), point("")]
    assert registry().get("parrot") is Parrot
    assert "'parrot' of tests.engine.test_discovery is ignored" in caplog.text


def test_it_takes_no_class_a_module_only_imports(installed: list[EntryPoint]) -> None:
    installed.append(EntryPoint("some-package", "tests.engine.test_discovery:json", GROUP))
    assert registry().names() == []


@pytest.mark.parametrize("what", [":Missing", ".nowhere:Bird"])
def test_it_starts_without_a_package_that_is_broken(what: str, installed: list[EntryPoint], caplog: Any) -> None:
    installed += [point(what), point(":Parrot")]
    assert registry().names() == ["parrot"]
    assert what in caplog.text


def test_it_names_what_there_is(installed: list[EntryPoint]) -> None:
    installed.append(point(":Parrot"))
    with pytest.raises(LookupError, match="There is no bird 'owl'; there are: parrot"):
        registry().get("owl")


def test_it_registers_for_a_while_and_forgets(installed: list[EntryPoint]) -> None:
    birds = registry()
    with birds.registered(Impostor):
        assert birds.get("parrot") is Impostor
    assert birds.names() == []
    installed.append(point(":Parrot"))
    assert birds.names() == []
    birds.forget()
    assert birds.names() == ["parrot"]


def test_it_tells_what_was_found_and_why_it_cannot_be_used(installed: list[EntryPoint]) -> None:
    installed += [point(":Parrot"), point(":Missing"), point(":json"), point("")]
    here = "tests.engine.test_discovery"
    found = registry().extensions()
    assert [(each.name, each.source) for each in found] == [
        ("parrot", f"{here}:Parrot"),
        ("some-package", f"{here}:Missing"),
        ("some-package", f"{here}:json"),
        ("parrot", here),
        ("parrot", here),
    ]
    assert found[0] == ("parrot", f"{here}:Parrot", "some-package", "", "", "")
    assert "AttributeError" in found[1].error
    assert found[2].error == "it holds no Bird with a name"
    assert [each.error for each in found[3:]] == ["", f"the name is taken by {here}:Parrot"]


def test_it_calls_a_class_without_a_name_as_its_entry_point(installed: list[EntryPoint]) -> None:
    installed.append(EntryPoint("sparrow", "tests.engine.test_discovery:Nameless", GROUP))
    assert registry().get("sparrow") is Nameless
