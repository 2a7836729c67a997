"""What fitting a conversation into a model's window costs: `python -m benchmarks.window [--messages 200]`.

Prints CPU microseconds a turn, the least of several rounds, for a conversation of so many messages (330 and 600
characters, English or Chinese) where all of it has room, where it is trimmed by an estimate and where its tokens are
counted; then what the vocabularies cost to load (each in a process of its own) and to count with."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable

from benchmarks import rows  # noqa: F401  sets Django up
from engine.types import Message
from sessions_app import vocabularies
from sessions_app.context import Past, Room, Talk
from sessions_app.families import family_of
from sessions_app.tokens import Counter
from sessions_app.windows import least

ENGLISH = "The first keeps one queue per worker, the second shares a single queue of 1000 jobs between 16 workers. "
CHINESE = "请比较下面两种设计，并解释哪一种扩展性更好。第一种每个线程一个队列，第二种共享一个任务队列。"

LOADING = """
import resource, time
from rs_bpe.bpe import openai
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6
before, began = resident(), time.perf_counter()
openai.{name}().count("hello")
print(f"{{1e3 * (time.perf_counter() - began):.0f}} ms, {{resident() - before:.0f}} MB")
"""


def conversation(text: str, messages: int) -> Past:
    question, answer = (text * 20)[:330], (text * 20)[:600]
    return Past((), [[Message("user", question), Message("assistant", answer)] for _ in range(messages // 2)])


def micros(work: Callable[[], object], rounds: int = 15) -> float:
    def once() -> float:
        began, done = time.process_time(), 0
        while time.process_time() - began < 0.02:
            work()
            done += 1
        return 1e6 * (time.process_time() - began) / done

    return min(once() for _ in range(rounds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=200)
    count = parser.parse_args().messages
    asked = [Message("user", "And what do you make of that?")]
    rough, exact = (Counter(family_of("gpt-4o"), exact=each, limit=1 << 40) for each in (False, True))
    for name, text in (("English", ENGLISH), ("Chinese", CHINESE)):
        past = conversation(text, count)
        whole = Talk(past, asked)
        tokens = whole.tokens(exact.message)
        print(f"{count} messages, {name}: {tokens} tokens (o200k_base), {whole.tokens(rough.message)} estimated")

        def roomy(past: Past = past) -> object:
            talk = Talk(past, asked)
            talk.tokens(rough.message)
            return talk.everything()

        half = Room.of(tokens // 2)
        print(f"  all has room           {micros(roomy):8.0f} µs")
        print(f"  half has, estimated    {micros(lambda: Talk(past, asked).fit(half, rough)):8.0f} µs")  # noqa: B023
        print(f"  half has, counted      {micros(lambda: Talk(past, asked).fit(half, exact)):8.0f} µs")  # noqa: B023
        print(f"  what cannot be trimmed {micros(lambda: least(Talk(past, asked))):8.0f} µs")  # noqa: B023
    for name in vocabularies.LOADERS:
        loading = subprocess.run(
            [sys.executable, "-c", LOADING.format(name=name)], capture_output=True, text=True, check=True
        )
        words = vocabularies.vocabulary(name)
        english, chinese, runs = (text * 200 for text in (ENGLISH, CHINESE, "ab"))
        each = [micros(lambda: words.count(text), 5) / (len(text.encode()) / 1024) for text in (english, chinese, runs)]  # noqa: B023
        print(f"{name}: loaded in {loading.stdout.strip()}; µs a KiB: " + ", ".join(f"{one:.0f}" for one in each)
              + " (English, Chinese, one letter pair)")  # fmt: skip


if __name__ == "__main__":
    main()
