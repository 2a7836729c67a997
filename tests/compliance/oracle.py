"""Plain definitions of a hit and of hold-back, slow and obvious: look everywhere, and try every way to go on."""

from __future__ import annotations

from itertools import groupby
from typing import NamedTuple

from compliance.characters import LETTER, OF_CHARACTERS, SPACE, UNSEEN, characters, in_word
from compliance.normalising import normalise
from compliance.sounds import TONES, sounds, spoken, syllables
from compliance.spellings import written

FAR = 9


class Found(NamedTuple):
    start: int
    end: int
    word: str
    decided: int


class Text:
    """The letters of a text and where each comes from."""

    def __init__(self, text, switches):
        self.text = text
        self.reads = characters(switches)
        self.letters = []
        last = ""
        for place, character in enumerate(text):
            for letter in self.reads.read(character):
                if "symbols" in switches and letter == SPACE and not (last and in_word(last)):
                    continue
                self.letters.append((letter, place))
                last = last if letter == SPACE and "symbols" in switches else letter

    def kind(self, place):
        return self.reads.kind(self.text[place])

    def joined(self, index):
        place = self.letters[index][1]
        if self.kind(place) != LETTER:
            return False
        if index and self.letters[index - 1][1] == place and in_word(self.letters[index - 1][0]):
            return True
        seen = [self.kind(before) for before in range(place - 1, max(-1, place - 1 - FAR), -1)]
        return next((kind for kind in seen if kind != UNSEEN), 0) == LETTER

    def after(self, place):
        """How much must be known to tell what follows, and whether a word goes on there."""
        for following in range(place, place + FAR):
            if following >= len(self.text):
                return len(self.text) + 1, False
            if self.kind(following) != UNSEEN:
                return following + 1, self.kind(following) == LETTER
        return place + FAR, False


def _from(text, index, way, repeats, symbols):
    """Where the word ends and is decided if it starts at this letter, else None."""
    letters = text.letters
    merged = groupby(way) if repeats else ((each, [each]) for each in way)
    runs = [(letter, len(list(run))) for letter, run in merged]
    if text.joined(index):
        return None
    first = index
    for number, (letter, least) in enumerate(runs):
        if first >= len(letters) or letters[first][0] != letter:
            return None
        end = first + 1
        spaces = symbols and letter == SPACE
        while end < len(letters) and letters[end][0] == letter and (repeats or spaces):
            end += 1
        if end - first < least:
            return None
        if number == len(runs) - 1:
            return _end(text, first, first + least - 1, least, repeats)
        if not spaces:
            there, following = letters[first][1], end
            if symbols:
                while following < len(letters) and letters[following][0] == SPACE:
                    following += 1
            if following < len(letters) and letters[following][1] - there > FAR * least:
                return None
        first = end
    return None


def _end(text, first, last, least, repeats):
    letters = text.letters
    place = letters[last][1]
    if place - letters[first][1] >= FAR * least:
        return None
    if text.kind(place) != LETTER:
        return place + 1, place + 1
    stop = place + FAR
    while repeats and last + 1 < len(letters) and letters[last + 1][0] == letters[last][0]:
        following = letters[last + 1][1]
        between = range(letters[last][1] + 1, following)
        if following >= stop or len(between) >= FAR or any(text.kind(each) != UNSEEN for each in between):
            break
        last += 1
    place = letters[last][1]
    if last + 1 < len(letters) and letters[last + 1][1] == place and in_word(letters[last + 1][0]):
        return None
    decided, goes_on = text.after(place + 1)
    return None if goes_on else (place + 1, decided)


def ways_of(word, switches):
    """(switches to read with, whether repeats count, letters) of each way to write the word."""
    usual = switches & OF_CHARACTERS - {"lookalikes"}
    sets = [usual]
    if "lookalikes" in switches and any(in_word(letter) and not letter.isdecimal() for letter in normalise(word)[0]):
        sets.append(usual | {"lookalikes"})
    repeats = "repeats" in switches
    for each in sets:
        read = characters(each).read(normalise(word)[0])
        if "symbols" not in each:
            if read:
                yield each, repeats, read
            said = spoken(normalise(word)[0]) if "initials" in switches and "lookalikes" not in each else ()
            if len(said) > 2:
                yield each, repeats, "".join(syllable[0] for syllable in said)
            continue
        plain = each - {"symbols"}
        signs = characters(plain).read(normalise(word)[0])
        if len(signs) == len(read) and read and read.strip(SPACE) == read:
            for way in written(read):
                yield each, repeats, way
            said = spoken(normalise(word)[0]) if "initials" in switches and "lookalikes" not in each else ()
            if len(said) > 2:
                yield each, repeats, "".join(syllable[0] for syllable in said)
        elif signs:
            yield plain, False, signs


def _sound_from(text, place, word, reads, switches):  # noqa: C901
    """Where the word ends and is decided if it is spoken from this place on, else None."""
    said = spoken(word)
    pinyin = spelled = False
    end = place
    for number, (character, syllable) in enumerate(zip(word, said, strict=True)):
        if number:
            between = end
            while between < len(text) and not reads.read(text[between]):
                between += 1
            gap = [each for each in text[end:between] if reads.kind(each) != UNSEEN]
            digits = [index for index, each in enumerate(gap) if each.isdigit()]
            if between - end >= FAR or digits not in ([], [0] if pinyin else []):
                return None
            end = between
        if end == len(text):
            return None
        if text[end] in syllables():
            if syllables()[text[end]] != syllable or not reads.same(text[end], character):
                return None
            pinyin, end = False, end + 1
            continue
        pinyin = spelled = True
        letters = ""
        while letters != syllable:
            unseen = 0
            while letters and end < len(text) and unseen < FAR - 1 and reads.kind(text[end]) == UNSEEN:
                end, unseen = end + 1, unseen + 1
            if end == len(text) or text[end] in syllables():
                return None
            letters += reads.read(text[end])
            if not reads.read(text[end]) or not syllable.startswith(letters):
                return None
            end += 1
    if not spelled and "homophones" not in switches:
        return None
    if not pinyin:
        return end, end
    whole = Text(text, frozenset())
    whole.reads = reads
    decided, goes_on = whole.after(end)
    if goes_on and text[decided - 1] in TONES:
        end = decided
        decided, goes_on = whole.after(end)
    return None if goes_on else (end, decided)


def sounds_of(text, words, switches):
    """Every hit of Chinese words by their sound."""
    if not switches & {"pinyin", "homophones"}:
        return
    reads = sounds(switches & (OF_CHARACTERS | {"pinyin", "homophones"}))
    for word in words:
        listed = "".join(reads.traditional.get(each, each) for each in normalise(word)[0] if each != SPACE)
        if len(spoken(listed)) < 2:
            continue
        whole = Text(text, frozenset())
        whole.reads = reads
        whole.letters = [(letter, place) for place, each in enumerate(text) for letter in reads.read(each)]
        for index, (_, place) in enumerate(whole.letters):
            first = not index or whole.letters[index - 1][1] != place
            if not first or (text[place] not in syllables() and whole.joined(index)):
                continue
            ending = _sound_from(text, place, listed, reads, switches)
            if ending is not None:
                yield Found(place, ending[0], normalise(word)[0], ending[1])


def endings_of(word, switches):
    """What could follow a text to make the word of it, in letters or by sound."""
    for _, _, way in ways_of(word, switches):
        for done in range(len(way) + 1):
            yield way[done:]
    if switches & {"pinyin", "homophones"}:
        said = spoken(normalise(word)[0].replace(SPACE, ""))
        for done in range(len(said) + 1):
            yield "".join(normalise(word)[0].replace(SPACE, "")[done:])
            for letters in range(len(said[done]) if done < len(said) else 0):
                yield said[done][letters:] + normalise(word)[0].replace(SPACE, "")[done + 1 :]
                yield said[done][letters:] + " ".join(("", *said[done + 1 :]))


def hits_of(text, words, switches):
    """Every hit of the words in a whole text; of those that start in one run and end together, the longest."""
    best = {}
    for word in words:
        for reads, repeats, way in ways_of(word, switches):
            read = Text(text, reads)
            for index in range(len(read.letters)):
                ending = _from(read, index, way, repeats, "symbols" in reads)
                if ending is not None:
                    start, name = read.letters[index][1], normalise(word)[0]
                    alone = len(set(way)) == 1 and repeats
                    key = (start if alone else None, *ending, name, reads, way)
                    if key not in best or start < best[key].start:
                        best[key] = Found(start, ending[0], name, ending[1])
    return {*best.values(), *sounds_of(text, words, switches)}


def kept_of(text, words, switches, exceptions=()):
    """The hits that lie in no exception."""
    spared = hits_of(text, exceptions, switches)
    return {
        hit
        for hit in hits_of(text, words, switches)
        if not any(each.start <= hit.start and hit.end <= each.end for each in spared)
    }


def hold_of(text, words, switches, exceptions=()):
    """Where the first character stands that more text could make part of a hit, or of none."""
    held = len(text)
    for word in words:
        for ending in endings_of(word, switches):
            for hit in hits_of(text + ending, [word], switches):
                if hit.start < len(text) and hit.decided > len(text):
                    held = min(held, hit.start)
    sure = [each for each in hits_of(text, exceptions, switches) if each.decided <= len(text)]
    certain = [
        hit
        for hit in hits_of(text, words, switches)
        if hit.decided <= len(text) and not any(each.start <= hit.start and hit.end <= each.end for each in sure)
    ]
    for exception in exceptions:
        for ending in endings_of(exception, switches):
            spared = [each for each in hits_of(text + ending, [exception], switches) if each.decided > len(text)]
            for hit in certain:
                if any(each.start <= hit.start and hit.end <= each.end for each in spared):
                    held = min(held, hit.start)
    return held
