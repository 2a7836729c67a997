"""What plugins have to say: beside an answer, which passes the guard as the answer does, and about a turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from engine.aside import Aside, length_of
from engine.ports import Guard, OutputGuard, PluginRun
from engine.turn import Turn
from engine.types import Choice, Delta, Json, Principal, Verdict

MOST_FACTS: Final = 32
LONGEST_NAME: Final = 64  # characters
LONGEST_FACT: Final = 256
LARGEST: Final = 2**63


async def guarded(
    guard: Guard, aside: Aside, principal: Principal, metadata: dict[str, Json]
) -> tuple[Json, list[Verdict]]:
    """The metadata by plugin with its texts masked where a list says so, and what was found. Of a plugin with a word to
    be blocked nothing is left."""
    found: list[Verdict] = []

    def read() -> Json:
        passed: Json = {}
        for name, said in metadata.items():
            try:
                passed[name] = _masked(said, lambda: guard.output(principal), found)
            except _Blocked:
                continue
        return passed

    return await aside.read(max(1, guard.weight(principal)) * length_of(metadata), read), found


async def hear(guard: Guard, aside: Aside, turn: Turn, run: PluginRun, choices: list[Choice]) -> None:
    """What plugins have to say beside the answer, unless that was blocked."""
    if run.sees_end:
        await run.observe(choices)
    if run.metadata and not turn.blocked:
        turn.metadata, found = await guarded(guard, aside, turn.principal, run.metadata)
        assert turn.output is not None
        if found:
            turn.output.verdicts.extend(each for each in found if each not in turn.output.verdicts)


def facts(features: Json) -> Json:
    """What plugins found out, for the decision record: words and figures, not too many."""
    found: Json = {}
    for name, value in features.items():
        if len(found) < MOST_FACTS and len(name) <= LONGEST_NAME and _is_plain(value):
            found[name] = value
    return found


def _is_plain(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= LONGEST_FACT and "\0" not in value
    return isinstance(value, bool | int | float) and abs(value) < LARGEST


class _Blocked(Exception):
    pass


def _masked(value: Any, output: Callable[[], OutputGuard], found: list[Verdict]) -> Any:
    """Raises _Blocked."""
    if isinstance(value, str):
        return _text(value, output(), found) if value else value
    if isinstance(value, dict):
        return {_masked(key, output, found): _masked(each, output, found) for key, each in value.items()}
    if isinstance(value, list):
        return [_masked(each, output, found) for each in value]
    return value


def _text(text: str, output: OutputGuard, found: list[Verdict]) -> str:
    let_out = [output.feed(Delta(content=text)), *output.flush()]
    found.extend(verdict for verdict in output.verdicts if verdict not in found)
    if output.blocked:
        raise _Blocked
    return "".join(delta.content or "" for delta in let_out if delta is not None)
