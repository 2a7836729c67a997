"""The suite of all plugins finds what it is for, and every plugin that comes with the product runs it."""

import asyncio
import re
import time
from pathlib import Path

import pytest

from plugins import builtin, registry
from plugins.base import PluginBase, PluginSettings
from plugins.hooks import BLOCKED
from tests.conformance.plugins import PluginSuite

TESTS = Path(__file__).resolve().parents[1]


class Greeting(PluginBase):
    """Greets."""

    name = "greeting_of_the_suite"
    label = "Greeting"
    pure = True

    class Settings(PluginSettings):
        greeting: str = "Hello"

    def pre_process(self, context):
        context.features["greeted"] = True

    def process_delta(self, delta):
        if delta.last:
            delta.content = self.settings.greeting

    async def close(self):
        self.closed = True


class TestGreeting(PluginSuite):
    plugin = Greeting
    settings = ({}, {"greeting": "你好"})


class Asking(Greeting):
    """Asks for more."""

    def post_process(self, response):
        response.metadata["round"] = response.round
        response.ask(["And?"])


class TestAsking(PluginSuite):
    plugin = Asking


def test_it_is_run_by_every_plugin_of_ours():
    texts = "\n".join(path.read_text() for path in TESTS.glob("**/test_*.py"))
    found = {registry.get(name) for name in registry.names()}
    ours = {each.__name__ for each in found if each.__module__.startswith(builtin.__name__)}
    assert ours and ours == {name for name in ours if re.search(rf"^    plugin = {name}$", texts, re.MULTILINE)}


class Fails(Greeting):
    """Cannot do without text."""

    def pre_process(self, context):
        assert context.text


class Shares(Greeting):
    """Remembers the turn before."""

    def pre_process(self, context):
        context.features["before"], self.text = getattr(self, "text", None), time.monotonic()


class Blocks(Greeting):
    """Does not let go."""

    async def pre_process(self, context):
        await asyncio.sleep(0)
        time.sleep(BLOCKED + 0.02)


class Forgets(Greeting):
    """Takes anything for settings."""

    class Settings(PluginSettings, forbid_unknown_fields=False):
        pass


@pytest.mark.parametrize(
    ("plugin", "test", "arguments"),
    [
        (Fails, "test_it_survives_odd_messages", ("empty",)),
        (Shares, "test_it_serves_turns_at_the_same_time", ()),
        (Blocks, "test_it_leaves_the_event_loop_to_others", ()),
        (Forgets, "test_its_settings_come_back_as_they_went", ()),
    ],
)
def test_it_finds_a_plugin_that_does_not_conform(plugin, test, arguments):
    suite = type("Suite", (PluginSuite,), {"plugin": plugin})()
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        getattr(suite, test)(*arguments)
