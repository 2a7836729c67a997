"""What recognising, masking and restoring personal data costs; CPU time, the least of several runs.

    python -m benchmarks.personal                          # everything switched on
    python -m benchmarks.personal --recognisers phone email id_cn card

Texts of 2 KB are clean (with the odd number in them) or hold four values. Hostile ones are 100,000 characters that make
as many beginnings of a number or an address as there is room for; beside them the time for half as much, which would
be a quarter where time grew with the square."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from compliance.personal.masking import Masker
from compliance.personal.privacy import PersonalPrivacy, PersonalTable
from compliance.personal.restoring import Restorer
from compliance.personal.scanning import NAMES, Scanner
from engine.snapshots import Cell
from engine.types import ChatRequest, Delta, Message, Principal

ENGLISH = (
    "The committee met on 3 March 2024 and agreed, after a long discussion of 14 points, that the budget of 2,500 "
    "euros would be raised by 12.5 percent. "
)
CHINESE = (
    "委员会于2024年3月3日开会，经过对14个要点的长时间讨论，同意将预算从2500元提高12.5个百分点，并请各部门在月底之前提交详细的"
    "执行计划与风险评估报告。"
)
VALUES = " 13812345678 bob@example.com 4111 1111 1111 1111 11010519491231002X"
ANSWER = "Call [PHONE_1] or write to [EMAIL_1]; the card [CARD_1] and the number [ID_1] are [as] said. " * 6
HOSTILE = ["1", "@", "1-", "1 ", "(1", "+1 ", "a@", "1@", "a@a.", "4111 ", "AB1", "a1"]
LONG = 100_000
SOMEBODY = Principal(tenant_id=1, tenant="t", kind="key", subject="key:1", user="key:1")


def filled(text: str, size: int = 2048) -> str:
    """The text repeated up to so many bytes of UTF-8."""
    return (text * size).encode()[:size].decode(errors="ignore")


def cpu(work: Callable[[], object], times: int, runs: int = 9) -> float:
    """Seconds of one."""
    best = float("inf")
    for _ in range(runs):
        began = time.process_time()
        for _ in range(times):
            work()
        best = min(best, (time.process_time() - began) / times)
    return best


def measure(names: list[str]) -> None:
    scanner = Scanner(names)
    privacy = PersonalPrivacy(Cell(PersonalTable({1: scanner})), lambda kind, number: None)

    def mask(text: str) -> Callable[[], object]:
        messages = [Message("user", text)]
        request = ChatRequest(messages=messages)
        return lambda: privacy.mask(SOMEBODY, messages, request)

    english, chinese = filled(ENGLISH), filled(CHINESE)
    for what, text in (
        ("2 KB of English, clean", english),
        ("2 KB of Chinese, clean", chinese),
        ("2 KB of English with four values", english[: -len(VALUES)] + VALUES),
        ("2 KB of Chinese with four values", chinese[: -len(VALUES)] + VALUES),
    ):
        scanned, masked = (cpu(work, 200) * 1e6 for work in (lambda text=text: scanner.find(text), mask(text)))
        print(f"{what:36} {scanned:7.1f} µs to scan  {masked:7.1f} µs to mask")
    restoring(scanner)
    for piece in HOSTILE:
        whole, half = (filled(piece, size) for size in (LONG, LONG // 2))
        took = [cpu(lambda text=text: scanner.find(text), 1, 5) * 1e3 for text in (whole, half)]
        print(f"{LONG} characters of {piece!r:9} {took[0]:7.1f} ms, half as many {took[1]:7.1f} ms")


def restoring(scanner: Scanner) -> None:
    masker = Masker(scanner)
    masker.whole(VALUES)
    values = masker.values
    size = len(ANSWER) // 32 + 1
    pieces = [Delta(content=ANSWER[start : start + size]) for start in range(0, len(ANSWER), size)]

    def stream() -> None:
        fresh = Restorer(values, {})
        for piece in pieces:
            fresh.feed(piece)
        fresh.flush()

    print(f"{f'{len(ANSWER)} characters out in 32 chunks':36} {cpu(stream, 200) / len(pieces) * 1e6:7.2f} µs a chunk")
    plain = [Delta(content="x" * size)] * len(pieces)

    def clean() -> None:
        fresh = Restorer(values, {})
        for piece in plain:
            fresh.feed(piece)

    print(f"{'the same without placeholders':36} {cpu(clean, 200) / len(plain) * 1e6:7.2f} µs a chunk")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recognisers", nargs="+", choices=NAMES, default=list(NAMES))
    measure(parser.parse_args().recognisers)


if __name__ == "__main__":
    main()
