"""The table of a benchmark, and whether the product's own policy reached what it aims at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from benchmarks.routing.running import Outcome

OURS, PLAIN = "ours", "round robin"
GOOD: Final = {"slow": 99.9}  # percent, at least
FAILED: Final = {"failing": 0.01, "hanging": 0.25}  # percent, at most
LEFT, BACK = 2.0, 15.0  # seconds
WORSE: Final = 0.2  # points that errors everywhere may cost beside round robin
CALLS: Final = 1.2  # a request
HEAD: Final = (
    "| fault | policy | good % | failed % | p50 ms | p99 ms | left after s | back after s | calls a request |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def row(outcome: Outcome) -> str:
    """A line of Markdown. A run that does not count says so."""
    left, back = (_seconds(value, outcome) for value in (outcome.left, outcome.back))
    policy = outcome.policy + (" (not valid)" if outcome.complaints else "")
    return (
        f"| {outcome.fault} | {policy} | {outcome.good:.3f} | {outcome.failed:.3f} | {outcome.p50:.0f} | "
        f"{outcome.p99:.0f} | {left} | {back} | {outcome.calls:.3f} |"
    )


def _seconds(value: float | None, outcome: Outcome) -> str:
    if outcome.fault in ("erring", "none"):
        return ""
    return "never" if value is None else f"{value:.2f}"


def judged(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """A line for every target the outcomes say something about."""
    plain = {outcome.fault: outcome for outcome in outcomes if outcome.policy == PLAIN}
    for outcome in outcomes:
        if outcome.policy == OURS:
            for what, reached in _targets(outcome, plain.get(outcome.fault)):
                invalid = ", but the run is not valid" if outcome.complaints else ""
                yield f"{outcome.fault}: {what}: {'reached' if reached else 'MISSED'}{invalid}"


def _targets(outcome: Outcome, plain: Outcome | None) -> Iterator[tuple[str, bool]]:
    fault = outcome.fault
    if fault in GOOD:
        yield f"{outcome.good:.3f} % good, at least {GOOD[fault]}", outcome.good >= GOOD[fault]
    if fault in FAILED:
        yield f"{outcome.failed:.3f} % failed, at most {FAILED[fault]}", outcome.failed <= FAILED[fault]
    if fault == "erring":
        if plain is not None:
            wanted = plain.good - WORSE
            yield f"{outcome.good:.3f} % good, at least {wanted:.3f}", outcome.good >= wanted
    else:
        left, back = outcome.left, outcome.back
        yield f"left after {_seconds(left, outcome)} s, at most {LEFT}", left is not None and left <= LEFT
        if back is not None or outcome.after >= BACK:  # else there was not the time to see
            yield f"back after {_seconds(back, outcome)} s, at most {BACK}", back is not None and back <= BACK
    yield f"{outcome.calls:.3f} calls a request, at most {CALLS}", outcome.calls <= CALLS
