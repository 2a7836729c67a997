"""What the word guard costs: CPU time of compiling, reading whole texts, streams and hostile texts, and memory.

    python -m benchmarks.guard [--words 60000]

The least of several rounds of `time.process_time`, so that other work on the machine counts as little as it can."""

from __future__ import annotations

import argparse
import gc
import random
import threading
import time
import tracemalloc
from collections.abc import Callable

from compliance.arguments import Arguments
from compliance.characters import OF_CHARACTERS, characters
from compliance.holdback import Channel
from compliance.normalising import DEFAULT_SWITCHES, SWITCHES
from compliance.sounds import sounds
from compliance.words import Rule, WordMatcher

ENGLISH = (
    "The committee will meet on Tuesday to discuss the plans for the new library, which should be open by autumn. "
    "Nobody expects all of the funding to be settled soon, but a good part of it (about 60 %) has been promised. "
)
CHINESE = (
    "委员会将于星期二开会，讨论新图书馆的计划，预计秋天可以开放。没有人认为所有的资金都能很快到位，但其中很大一部分"
    "（大约百分之六十）已经有了着落；如果一切顺利，读者明年春天就能在那里借书、看报和上网。"
)
SETS = {
    "none": frozenset[str](),
    "default": DEFAULT_SWITCHES,
    "default+lookalikes": DEFAULT_SWITCHES | {"lookalikes"},
    "default+pinyin": DEFAULT_SWITCHES | {"pinyin"},
    "default+homophones": DEFAULT_SWITCHES | {"homophones"},
    "all": frozenset(SWITCHES),
}


def cpu(work: Callable[[], object], rounds: int = 7, least: float = 0.02) -> float:
    """Seconds of CPU time of one call."""
    count = 1
    while (spent := _timed(work, count)) < least:
        count *= max(2, int(least / max(spent, 1e-6)))
    return min(_timed(work, count) for _ in range(rounds)) / count


def _timed(work: Callable[[], object], count: int) -> float:
    start = time.process_time()
    for _ in range(count):
        work()
    return time.process_time() - start


def chinese_words(count: int) -> list[str]:
    """Random words of 2 to 6 characters: nearly every character begins one."""
    chance = random.Random(7)
    words: set[str] = set()
    while len(words) < count:
        words.add("".join(chr(chance.randrange(0x4E00, 0x9FA5)) for _ in range(chance.randint(2, 6))))
    return sorted(words)


def english_words(count: int) -> list[str]:
    chance = random.Random(8)
    syllables = ["ba", "ter", "ing", "co", "mel", "so", "nas", "ti", "ur", "dex", "oo", "lly"]
    words: set[str] = set()
    while len(words) < count:
        words.add("".join(chance.choice(syllables) for _ in range(chance.randint(2, 5))))
    return sorted(words)


def cut(text: str, count: int) -> list[str]:
    size = -(-len(text) // count)
    return [text[start : start + size] for start in range(0, len(text), size)]


def streamed(kind: type[Channel | Arguments], words: WordMatcher, parts: list[str]) -> None:
    channel = kind(words)
    for part in parts:
        channel.push(part)
    channel.push("", over=True)


def compiling(words: list[str]) -> None:
    for name, switches in SETS.items():
        characters(switches & OF_CHARACTERS)
        start = time.process_time()
        sounds(switches & (OF_CHARACTERS | {"pinyin", "homophones"})) if switches & {"pinyin", "homophones"} else None
        tables = time.process_time() - start
        lists = [(Rule("words", 1, "block"), words, switches)]
        spent = min(_timed(lambda lists=lists: WordMatcher(lists), 1) for _ in range(3))
        print(
            f"  {name:20} {spent:6.2f} s   tables, once a process {tables:5.2f} s   pause {pause(lists) * 1e3:5.0f} ms"
        )


def pause(lists: list[tuple[Rule, list[str], frozenset[str]]]) -> float:
    """The longest that another thread does not get to run while the lists are compiled."""
    done = threading.Event()
    worst = [0.0]

    def watch() -> None:
        last = time.perf_counter()
        while not done.is_set():
            time.sleep(0.001)
            now = time.perf_counter()
            worst[0] = max(worst[0], now - last)
            last = now

    thread = threading.Thread(target=watch)
    thread.start()
    WordMatcher(lists)
    done.set()
    thread.join()
    return worst[0]


def resident() -> float:
    with open("/proc/self/statm") as status:
        return int(status.read().split()[1]) * 4096 / 2**20


def memory(words: list[str]) -> None:
    for name in ("default", "all"):
        gc.collect()
        before = resident()
        tracemalloc.start()
        matcher = WordMatcher([(Rule("words", 1, "block"), words, SETS[name])])
        traced = tracemalloc.get_traced_memory()[0] / 2**20
        tracemalloc.stop()
        gc.collect()
        print(f"  {name:20} {resident() - before:6.1f} MiB resident, {traced:.1f} MiB of them Python's")
        del matcher


class New(Channel):
    """A channel that was never told any piece before."""

    def __init__(self, words: WordMatcher) -> None:
        super().__init__(words)
        for known in words.quiet.ends:
            known.clear()


def reading(matchers: dict[str, WordMatcher]) -> None:
    texts = {"English": (ENGLISH * 20)[:2048], "Chinese": (CHINESE * 20)[:683]}
    for name, words in matchers.items():
        for language, text in texts.items():
            whole = cpu(lambda words=words, text=text: words.find(text))
            answer = text[: len(text) * 600 // 2048]
            pieces = cpu(lambda words=words, answer=answer: streamed(New, words, cut(answer, 32))) / 32
            calls = cpu(lambda words=words, answer=answer: streamed(Arguments, words, cut(answer, 32))) / 32
            print(
                f"  {name:20} {language}: 2 KB {whole * 1e6:6.1f} µs   "
                f"a chunk of 32 {pieces * 1e6:5.1f} µs, of arguments {calls * 1e6:5.1f} µs"
            )


HOSTILE = {
    "one letter": "b" * 20_000,
    "one Chinese character": "坏" * 20_000,
    "symbols": "坏" + "." * 20_000,
    "letters among symbols": "b........" * 2_200,
    "zero-width": "b\u200b" * 10_000,
    "many beginnings": "ba" * 10_000,
    "nothing but words": "badbad " * 2_800,
    "pinyin": "huai " * 4_000,
}


def hostile() -> None:
    nested = [letter * length for letter in "b坏" for length in (1, 2, 4, 8, 32)]
    lists = [(Rule("words", 1, "mask"), ["badbad", "ba" * 30, "坏人", "b.b", *nested], frozenset(SWITCHES))]
    words = WordMatcher(lists)
    spared = WordMatcher(lists, [f"坏人{letter}" for letter in CHINESE] + ["badbad badbad"])
    for name, text in HOSTILE.items():
        half = text[: len(text) // 2]
        escaped = "".join(f"\\u{ord(letter):04x}" for letter in text[:1_000])
        row = []
        for matcher in (words, spared):
            once, twice = (_timed(lambda t=t, m=matcher: m.find(t), 1) for t in (half, text))
            row.append(f"{once * 1e3:6.0f} {twice * 1e3:6.0f} ms")
        arguments = [
            _timed(lambda t=t: streamed(Arguments, words, cut(t, len(t))), 1) * 1e3 / (len(t) / 1000)
            for t in (escaped[:1_500], escaped[:6_000])
        ]
        print(
            f"  {name:22} 10,000 and 20,000 characters {row[0]}   with exceptions {row[1]}   1,000 characters of "
            f"escaped arguments one by one {arguments[0]:5.1f} {arguments[1]:5.1f} ms"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--words", type=int, default=60_000)
    count = parser.parse_args().words
    words = chinese_words(count)
    start = time.process_time()
    characters(DEFAULT_SWITCHES & OF_CHARACTERS)
    print(f"Tables of the default switches, once a process: {time.process_time() - start:.2f} s")
    print(f"Compiling {count:,} words")
    compiling(words)
    print("Memory of them, compiled")
    memory(words)
    print(f"Reading with {count:,} Chinese words and 2,000 English ones")
    both = words + english_words(2_000)
    reading({name: WordMatcher([(Rule("words", 1, "block"), both, switches)]) for name, switches in SETS.items()})
    print("Hostile texts, all switches")
    hostile()


if __name__ == "__main__":
    main()
