"""What a tenant's own words cost beside a large list of the platform's: compiled together, or joined to it; and what it
costs a turn to count a hit.

    python -m benchmarks.wordlists [--words 60000] [--own 200]"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from benchmarks.guard import CHINESE, chinese_words, cpu
from compliance.hits import HitCounter
from compliance.normalising import DEFAULT_SWITCHES
from compliance.words import Rule, WordMatcher
from engine.types import Verdict

KILOBYTES = 2


def resident() -> float:
    """MiB of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4 / 1024


def made(name: str, make: object) -> WordMatcher:
    before, began = resident(), time.process_time()
    words: WordMatcher = make()  # type: ignore[operator]
    print(f"{name:28} {1000 * (time.process_time() - began):8.1f} ms {resident() - before:8.1f} MiB")
    return words


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--words", type=int, default=60_000, help="of the platform's list")
    parser.add_argument("--own", type=int, default=200, help="of the tenant's")
    options = parser.parse_args()
    words = chinese_words(options.words + options.own)
    shared = (Rule("shared", 1, "mask", 1, "platform"), words[options.own :], DEFAULT_SWITCHES)
    own = (Rule("own", 1, "block", 2), words[: options.own], DEFAULT_SWITCHES)
    large = made("the platform's list", lambda: WordMatcher([shared]))
    together = made("both compiled together", lambda: WordMatcher([shared, own]))
    joined = made("own compiled, and joined", lambda: WordMatcher.joined([large, WordMatcher([own])]))
    text = CHINESE * 20
    text = text.encode()[: 1024 * KILOBYTES].decode(errors="ignore")
    for name, each in (("together", together), ("joined", joined)):
        print(f"{KILOBYTES} KB of Chinese, {name:9} {1e6 * cpu(lambda each=each: each.find(text)):8.1f} µs")
    counter, verdict = HitCounter(), [Verdict("own", 1, "x", "record", "input", 2)]
    print(f"a turn's hit counted         {1e6 * cpu(lambda: counter.add(1, verdict)):8.2f} µs")


if __name__ == "__main__":
    main()
