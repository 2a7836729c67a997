"""All policies in the simulation of the tests: `python -m benchmarks.routing.simulated [--policies …]`.

Three tables in Markdown, the same every time: percent of good answers within the cut (1 s with one of eleven at 2 s,
3 s else) and the 99th percentile in milliseconds; percent of errors without retries and with one, and calls a request;
seconds until a faulty instance is left alone and until it has its part again. `--picture FILE` draws who got the
traffic."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from math import inf
from pathlib import Path

from benchmarks.routing.picture import Panel, draw
from benchmarks.routing.policies import POLICIES
from tests.routing.simulation import SCENARIOS, Result, simulate

WORDS = {
    "A": "one of 11 at 2 s",
    "B": "all equal",
    "C": "speeds 1, 2, 4",
    "D": "one 4 times slower",
    "E": "one fails at once",
    "F": "one fails 30 %",
    "G": "one hangs",
    "H": "all fail 5 %",
}
DRAWN = "AEFG"


def table(policies: Sequence[str], names: Iterable[str], cell: Callable[[str, str], str]) -> None:
    """In Markdown. `cell` is given the scenario's name and the policy."""
    print("| policy | " + " | ".join(WORDS[name] for name in names) + " |")
    print("|---" * (len(list(names)) + 1) + "|")
    for policy in policies:
        print(f"| {policy} | " + " | ".join(cell(name, policy) for name in names) + " |", flush=True)
    print()


def quality(name: str, policy: str) -> str:
    result = simulate(SCENARIOS[name], policy)
    return f"{result.good:.2f} %, {result.quantile(0.99) * 1e3:.0f} ms"


def errors(name: str, policy: str) -> str:
    bare, retried = (simulate(SCENARIOS[name], policy, retry=retry) for retry in (False, True))
    return f"{bare.errors:.3f}, {retried.errors:.3f} ({retried.amplification:.3f})"


def times(name: str, policy: str) -> str:
    result, fault = simulate(SCENARIOS[name], policy), SCENARIOS[name].faults[0]
    left, back = result.left_within(fault), result.back_within(fault)
    if left == inf:
        return "never left"
    return f"{left:.2f}, " + ("never back" if back == inf else f"{back:.2f}")


def panel(name: str, policy: str) -> Panel:
    result: Result = simulate(SCENARIOS[name], policy)
    fault, length = SCENARIOS[name].faults[0], SCENARIOS[name].length
    curve = result.shares().curve(0, length)
    return Panel(policy, WORDS[name], result.good, fault.begin, fault.end, curve)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policies", nargs="*", choices=list(POLICIES), default=list(POLICIES))
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    table(options.policies, WORDS, quality)
    table(options.policies, "EFGH", errors)
    table(options.policies, "ADEFG", times)
    if options.picture:
        panels = [panel(name, policy) for policy in options.policies for name in DRAWN]
        options.picture.write_text(draw(panels, "Calls of the faulty instance, four workers (simulation)"))


if __name__ == "__main__":
    main()
