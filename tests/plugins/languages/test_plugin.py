"""The plugin `language`: what the request says and what its words say, in the tenant's order."""

import subprocess
import sys

import pytest

from engine.types import ChatRequest, Message
from plugins import registry
from plugins.builtin.language import Language
from plugins.languages import han
from tests.cast import ALICE
from tests.conformance.plugins import PluginSuite
from tests.plugins.turns import chain


def plugin(**settings):
    made = Language(registry.read_settings(Language, settings))
    made.open()
    return made


async def features(text, made=None, *, language=None, header=None, history=(), messages=None):
    headers = [(b"accept-language", header)] if header is not None else []
    messages = messages or [Message(role="user", content=text)]
    request = ChatRequest(messages=messages, language=language, headers=headers)

    class Before:
        id = "s"

    Before.history = [Message(role=role, content=said) for role, said in history]
    run = chain(made or plugin()).run(ALICE.principal, request, Before(), messages, "turn")
    await run.pre()
    found = run.features
    return found.get("language"), found.get("language_source")


def test_it_is_one_of_the_plugins_there_are():
    assert registry.get("language") is Language


def test_no_turn_waits_for_a_file():
    """What the first Chinese text needs is read when the plugin is opened."""
    han._forms.cache_clear()
    plugin()
    before = han._forms.cache_info()
    assert before.currsize == 1
    han.script_of("我们")
    assert han._forms.cache_info().misses == before.misses


async def test_it_finds_the_language_of_the_words():
    assert await features("请问怎么修改收货地址？") == ("zh-Hans", "text")
    assert await features("Where is my order?") == ("en", "text")
    assert await features("12345") == (None, None)
    parts = [Message(role="user", content=[{"type": "text", "text": "Wo ist meine Bestellung?"}])]
    assert await features("", messages=parts) == ("de", "text")


async def test_what_the_request_says_goes_first():
    assert await features("Where is my order?", language="zh-TW") == ("zh-Hant", "body")
    assert await features("Where is my order?", language="ja", header=b"ja, en;q=0.5") == ("ja", "header")
    assert await features("Where is my order?", language="eo", header=b"eo, fr;q=0.4, de;q=0.6") == ("de", "header")
    assert await features("Where is my order?", header=b"\xff;;q,,*") == ("en", "text")


async def test_the_words_can_go_before_what_browsers_say():
    body = plugin(first="body")
    assert await features("Where is my order?", body, language="de", header=b"de") == ("en", "text")
    assert await features("12345", body, language="de", header=b"de") == ("de", "header")
    assert await features("Where is my order?", body, language="fr", header=b"de") == ("fr", "body")
    words = plugin(first="text")
    assert await features("Where is my order?", words, language="fr", header=b"de") == ("en", "text")
    assert await features("12345", words, language="fr", header=b"de") == ("fr", "body")


async def test_a_conversation_keeps_its_language_over_short_messages():
    german = [("user", "Wo ist meine Bestellung?"), ("assistant", "Sie kommt morgen.")]
    assert await features("12345", history=german) == ("de", "session")
    assert await features("ok", history=german) == ("de", "text")
    assert await features("Could you answer in English from now on, please?", history=german) == ("en", "text")
    whole = [Message(role="user", content="Wo ist meine Bestellung?"), Message(role="assistant", content="?"),
             Message(role="user", content="4711")]  # fmt: skip
    assert await features("", messages=whole) == ("de", "session")
    assert await features("東京", history=[("user", "こんにちは、天気を教えてください")]) == ("ja", "text")


async def test_where_nothing_shows_it_is_the_tenants_default():
    assert await features("12345", plugin(default="zh-TW")) == ("zh-Hant", "default")
    assert await features("xyzzy", plugin(confidence=1.0, default="fr")) == ("fr", "default")


@pytest.mark.parametrize(
    "settings",
    [{"languages": ["zh", "tlh"]}, {"confidence": 2}, {"first": "header"}, {"default": "tlh"}, {"languages": "zh"}],
)
def test_it_refuses_settings_that_make_no_sense(settings):
    with pytest.raises(registry.InvalidSettings):
        registry.read_settings(Language, settings)


async def test_its_memory_goes_with_the_last_who_uses_it():
    code = """
import asyncio, gc
from plugins.languages import models
from plugins.builtin.language import Language, LanguageSettings
one, two = Language(LanguageSettings()), Language(LanguageSettings(languages=["zh", "en"]))
import sys
assert "py3langid" not in sys.modules and "fasttext" not in sys.modules and "numpy" not in sys.modules
one.open(); two.open()
assert one._models is two._models is models.loaded()
asyncio.run(one.close()); gc.collect(); assert models.loaded() is not None
asyncio.run(two.close()); gc.collect(); assert models.loaded() is None
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_it_says_in_which_language_to_refuse():
    made = plugin(default="fr")
    assert made.spoken(ChatRequest(messages=[Message(role="user", content="Где мой заказ?")])) == "ru"
    assert made.spoken(ChatRequest(messages=[Message(role="user", content="12345")])) == "fr"
    assert made.spoken(ChatRequest(messages=[])) == "fr"
    assert chain(made).spoken(ALICE.principal, ChatRequest(messages=[])) == "fr"


class TestLanguage(PluginSuite):
    plugin = Language
    settings = ({}, {"languages": ["zh", "en"], "first": "text", "default": "zh"}, {"confidence": 1.0, "first": "body"})
