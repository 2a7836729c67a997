"""How the language of a turn was found, and that nobody was left for it, as people read a decision."""

import pytest

from access.console.decisions import reasons


def shown(**decision):
    return {str(name): str(value) for name, value in reasons({"model": "m", **decision})}


def test_it_says_how_the_language_was_found():
    found = {"tag": "zh-Hans", "source": "text", "confidence": 0.973}
    assert shown(language=found)["Language"] == "zh-Hans (by its words, 0.97)"
    assert shown(language={"tag": "fr", "source": "new"})["Language"] == "fr (new)"


@pytest.mark.parametrize("odd", [None, "fr", [], {"tag": 7}, {"source": "text"}])
def test_it_leaves_out_what_it_does_not_know(odd):
    assert "Language" not in shown(language=odd)


def test_it_says_that_nobody_was_left_for_a_language():
    assert "nobody was left for fr" in shown(fallback={"language": "fr"})["Fallback"]
