"""Pieces of answers that were read before are not read again, and what is kept of them is bounded."""

import pytest

from compliance import quiet
from compliance.holdback import Channel
from tests.compliance.wordlists import matcher

SAID = ["The", " weather", " in", " Paris", ",", " as", " always", ".", " Bad", " luck", "."]


class Counted:
    """How often a text was read."""

    def __init__(self, words, monkeypatch):
        self.times = 0
        self._read = words.read
        monkeypatch.setattr(words, "read", self.read)

    def read(self, text, begin):
        self.times += 1
        return self._read(text, begin)


def heard(words, pieces):
    channel = Channel(words)
    said = [channel.push(piece) for piece in pieces]
    return [*said, channel.push("", over=True)]


@pytest.fixture
def words():
    return matcher(block=["badger"], mask=["luckless"], record=["paris"])


def test_what_was_said_before_is_not_read_again(words, monkeypatch):
    counted = Counted(words, monkeypatch)
    first = heard(words, SAID)
    before = counted.times
    assert heard(words, SAID) == first
    assert counted.times - before == 1, "what holds a word is read every time: all else is known"


def test_what_was_masked_is_never_taken_for_something_else(words):
    for _ in range(2):
        assert "".join(text for text, _ in heard(words, ["luck", "less", " l", "uck", "l"])) == "******** luckl"
        assert "".join(text for text, _ in heard(words, ["luck", "less", "ly", " l"])) == "lucklessly l"


def test_the_beginning_of_a_word_is_held_however_often_it_comes(words):
    for _ in range(3):
        channel = Channel(words)
        assert channel.push("a") == ("a", ())
        assert channel.push(" bad") == (" ", ())
        assert channel.held == 3
        assert channel.push("ger") == ("", ())
        text, found = channel.push("!")
        assert (text, [words.words[each] for each in found]) == ("", ["badger"])


@pytest.mark.parametrize("first", [["x", " badly"], ["x", " bad", "ly"], ["x", " b", "a", "d", "ly"]])
@pytest.mark.parametrize("then", [["x", " badly"], ["x", " bad", "ly"], ["x", " b", "a", "d", "ly"]])
def test_nothing_depends_on_how_it_came_the_first_time(words, first, then):
    for pieces in (first, then):
        assert "".join(text for text, _ in heard(words, pieces)) == "x badly"


def test_it_goes_on_after_a_pause_as_if_it_had_never_seen_it(words):
    for _ in range(2):
        channel = Channel(words)
        channel.push("so bad")
        assert channel.pause()[0] == "bad"
        assert channel.push("ge") == ("", ())
        assert channel.push("ntle") == ("gentle", ())


def test_no_more_is_kept_than_there_is_room_for(words, monkeypatch):
    monkeypatch.setattr(quiet, "MOST", 50)
    other = matcher(block=["elsewhere"])
    heard(other, ["x", " y"])
    for number in range(500):
        heard(words, ["x", f" {number}"])
        assert sum(len(known) for each in (words, other) for known in each.quiet.ends) <= 50
    assert not any(other.quiet.ends)
    heard(words, ["x", " " + "y" * quiet.LONGEST])
    assert all(len(text) <= quiet.LONGEST for known in words.quiet.ends for text in known)
