"""A replay's result as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from engine.types import Json

WHY: Final = {
    "no_decision": "were not routed: refused",
    "plugin": "were answered by a plugin",
    "cache": "were answered from kept answers",
    "shared": "shared another turn's call",
    "pinned": "asked for one very instance",
    "not_recorded": "hold too little: a rule reads what is not recorded",
    "unreadable": "cannot be read",
}
NOTHING: Final = "(refused)"
NO_RULE: Final = "(no rule)"


def lines(result: Json) -> Iterator[str]:
    turns, moved = result["turns"], result["moved"]
    yield f"{result['scope']}, {moment(result['from'])} to {moment(result['to'])} UTC"
    yield f"{turns['read']} turns, {turns['replayed']} replayed"
    for reason, count in turns["left_out"].items():
        yield f"  {count} {WHY.get(reason, reason)}"
    for field, count in turns["not_recorded"].items():
        yield f"    {field}: {count}"
    if not turns["replayed"]:
        return
    yield ""
    yield f"{percent(moved['share'])} would move ({number(moved['turns'])} turns)"
    for flow in result["flows"]:
        yield f"  {flow['from']} -> {flow['to'] or NOTHING}: {number(flow['turns'])} ({percent(flow['share'])})"
    yield ""
    yield from _table(
        ("model", "turns before", "after"),
        [(each["model"], number(each["before"]), number(each["after"])) for each in result["models"]],
    )
    yield ""
    yield from _table(
        ("rule", "decided before", "after"),
        [(each["rule"] or NO_RULE, str(each["before"]), str(each["after"])) for each in result["rules"]],
    )
    yield ""
    yield from _expected(result)
    if result["examples"]:
        yield ""
        yield "examples"
        for each in result["examples"]:
            chance = percent(each["probability"])
            yield f"  {each['turn_id']} {moment(each['at'])} {each['from']} -> {each['to'] or NOTHING} ({chance})"


def _expected(result: Json) -> Iterator[str]:
    cost = result["cost"]
    yield f"cost {cost['before']:.4f} -> {cost['after']:.4f} ({cost['difference']:+.4f})"
    if cost["unpriced"]:
        yield f"  without {cost['unpriced']} turns whose instance is gone"
    for name, title in (("ttft", "first token"), ("duration", "whole answer")):
        pace = result[name]
        if pace["before"] is not None:
            yield f"{title} {pace['before']:.3f} s -> {pace['after']:.3f} s on average"
        if pace["unknown"]:
            yield f"{title}: unknown for {number(pace['unknown'])} turns, whose model has no recorded turn"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(row[place]) for row in (head, *rows)) for place in range(len(head))]
    for name, *numbers in (head, *rows):
        cells = [text.rjust(width) for text, width in zip(numbers, widths[1:], strict=True)]
        yield "  ".join((name.ljust(widths[0]), *cells))


def moment(at: float) -> str:
    """UTC, to the second."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}"


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def number(value: Any) -> str:
    """An expected number of turns."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"
