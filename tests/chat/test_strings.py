"""Every word of the page is there in both languages."""

from __future__ import annotations

import re

import pytest

from tests.chat.conftest import STATIC

TABLES = "async () => (await import('/static/chat/strings.js')).STRINGS"


@pytest.fixture
def tables(module_page):
    return module_page.evaluate(TABLES)


def test_the_languages_have_the_same_texts(tables):
    assert list(tables) == ["en", "zh"]
    assert list(tables["en"]) == list(tables["zh"])
    for key, english in tables["en"].items():
        chinese = tables["zh"][key]
        assert sorted(re.findall(r"\{\w+\}", english)) == sorted(re.findall(r"\{\w+\}", chinese)), key
        assert re.search(r"[\u4e00-\u9fff]", chinese), key


def test_every_text_is_used_and_every_used_one_is_there(tables):
    sources = {path.name: path.read_text() for path in (STATIC / "chat").glob("*.js")}
    del sources["strings.js"]
    said = {key for text in sources.values() for key in re.findall(r"\bt\(\s*\"(\w+)\"", text)}
    words = {word for text in sources.values() for word in re.findall(r"\"(\w+)\"", text)}
    assert said <= set(tables["en"])
    assert set(tables["en"]) <= words


def test_placeholders_are_filled_in_and_others_stay(module_page):
    said = module_page.evaluate(
        """async () => {
            const { speak, t, locale } = await import("/static/chat/strings.js");
            const english = t("renamed", { name: "{name} $& <b>" });
            speak("zh");
            const chinese = [t("send"), locale()];
            speak("xx");
            return [english, ...chinese, t("send"), t("renamed")];
        }"""
    )
    assert said == [
        "The conversation is called “{name} $& <b>” now.",
        "发送",
        "zh-CN",
        "Send",
        "The conversation is called “{name}” now.",
    ]
