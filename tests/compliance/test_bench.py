"""What lists would do with a text, and which entry does it."""

from compliance.bench import SHOWN, try_text
from compliance.words import Rule, WordMatcher


def words(**by_action):
    return WordMatcher(
        [(Rule(f"{action}s", 3, action, 7, "platform"), found, frozenset()) for action, found in by_action.items()]
    )


def test_it_passes_what_holds_nothing():
    for matcher in (None, words(block=["bad"])):
        tried = try_text(matcher, "A badge.", "input")
        assert (tried.outcome, tried.text, tried.places) == ("pass", "A badge.", [])


def test_it_names_the_entry_its_list_and_where_it_was_found():
    tried = try_text(words(record=["bad"]), "So ＢＡＤ!", "input")
    assert (tried.outcome, tried.text) == ("record", "So ＢＡＤ!")
    [place] = tried.places
    assert (place.start, place.end, place.written, place.word) == (3, 6, "ＢＡＤ", "bad")
    assert (place.list, place.list_id, place.scope, place.version, place.action) == (
        "records",
        7,
        "platform",
        3,
        "record",
    )


def test_it_shows_what_the_other_side_gets():
    lists = words(mask=["ugly"], block=["坏人"])
    assert try_text(lists, "ugly day", "output").text == "**** day"
    blocked = try_text(lists, "ugly 你是坏人吗", "output")
    assert (blocked.outcome, blocked.text) == ("block", "**** 你是")
    refused = try_text(lists, "ugly 你是坏人吗", "input")
    assert (refused.outcome, refused.text, [each.word for each in refused.places]) == ("block", None, ["ugly", "坏人"])


def test_it_lists_places_in_order_and_not_too_many():
    tried = try_text(words(mask=["坏", "坏人"]), "坏人" * SHOWN, "input")
    assert len(tried.places) == SHOWN
    assert [(each.start, each.end) for each in tried.places[:3]] == [(0, 1), (0, 2), (2, 3)]
