"""What a page of the journal adds to the sums: a function of its entries, of the intents of the turns that end in it,
and of the sessions whose last turn had no answer.

A turn is counted when it ends, in the hour in which it does, like `compliance.usage`. What is told of it:

    what       name                                    state
    turns      its edge                                its state
    error      the code                                its state
    language   what was found ("" where unsure)        its state
    intent     its name ("": none of these)            its state
    source     `cache`, `shared`: who answered         its state
    retry      the instance whose call failed          the error
    fallback   the instance that answered instead      its state
    filter     the list                                action and direction: `mask input`
    word       the list and the word, a unit separator between    the same
    personal   the kind of data that was masked        ""
    plugin     the plugin whose hook was skipped       hook and reason: `pre timeout`
    session    "opened", "abandoned"                   ""

Of a further round that a plugin asked for (`parent_turn`) nothing counts but what was found in its messages and how its
call went. A hit counts once a turn for each list (or word), action and direction. A session is opened by its first
turn, and abandoned if its last turn had no answer and no other began within `PATIENCE`: that counts in the hour in
which that turn ended."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from compliance.analysis import facts, questions
from compliance.analysis.facts import Asked, Ended, Hit
from compliance.journal.following import Followed
from compliance.journal.records import COMPLETION, INTENT
from compliance.usage.counting import HOUR, STATES, Timing
from engine.types import AUTO

DAY: Final = 24 * HOUR
PATIENCE: Final = 1800.0  # seconds after which somebody who had no answer will not ask again
OURSELVES: Final = frozenset({"console", "summary"})  # edges at which nobody's users ask
SEPARATOR: Final = "\x1f"
NAMES: Final = 2000  # of a page that are told apart, of each kind: a caller may make up as many as it likes
OTHERS: Final = "…"
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z]{4})?")
_STATES: Final = frozenset(STATES)
_REFUSING: Final = frozenset({"block", "mask"})

_UNKNOWN: Final[tuple[Followed | None, Asked]] = (None, facts.NOTHING_ASKED)

CountKey = tuple[int, str, str, str]  # hour, what, name, state
TimingKey = tuple[int, str, int]  # hour, model, instance


class Delta(NamedTuple):
    """What is to be added. `ends` are sessions whose last turn had no answer, and when; `gone` are those that are no
    such any more."""

    counts: dict[CountKey, int]
    timings: dict[TimingKey, Timing]
    questions: dict[int, dict[str, dict[str, int]]]
    ends: dict[str, float]
    gone: set[str]


class Counting:
    """Of one page. `ends` are the tenant's open ends before it; `mask` takes personal data out of a text, None: that is
    not wanted."""

    def __init__(self, ends: Mapping[str, float], mask: Callable[[str], str] | None = None) -> None:
        self.delta = Delta({}, {}, {}, {}, set())
        self._before = ends
        self._mask = mask
        self._names: dict[str, set[str]] = {}

    def count(
        self,
        entries: Sequence[Followed],
        asked: Mapping[str, tuple[Followed, Asked]],
        judged: Mapping[str, facts.Judged],
    ) -> Delta:
        """`asked` are the intents of the turns that end here, as far as they can be read, `judged` what is sealed of
        completions with verdicts."""
        for entry in entries:
            if entry.kind == INTENT:
                self._begun(entry)
            elif entry.kind == COMPLETION:
                intent, told = asked.get(entry.turn_id, _UNKNOWN)
                self._ended(entry, intent, told, judged.get(entry.turn_id))
        return self.delta

    def _begun(self, entry: Followed) -> None:
        session = entry.session_id
        if session is None:
            return
        told = facts.begun(entry)
        if told.parent_turn:
            return
        ended = self._open_end(session)
        if ended is not None:
            self._close(session)
            if entry.at > ended + PATIENCE:
                self._add(ended, "session", "abandoned")
                ended = None
        if told.parent == 0 and ended is None and told.edge not in OURSELVES:
            self._add(entry.at, "session", "opened")

    def _ended(self, entry: Followed, intent: Followed | None, asked: Asked, judged: facts.Judged | None) -> None:
        told = facts.ended(entry)
        state = entry.state if entry.state in _STATES else "failed"
        at = entry.at
        if told.parent_turn:
            self._called(entry, told, asked, judged)
            return
        if entry.session_id is not None:
            if state == "completed":
                self._close(entry.session_id)
            else:
                self.delta.ends[entry.session_id] = at
                self.delta.gone.discard(entry.session_id)
        self._add(at, "turns", told.edge, state)
        if told.error:
            self._add(at, "error", told.error, state)
        if told.source != "model":
            self._add(at, "source", told.source, state)
        self._found(at, asked, state)
        for skipped in told.skipped:
            self._add(at, "plugin", skipped.plugin, f"{skipped.hook} {skipped.reason}"[:32])
        self._called(entry, told, asked, judged)
        if intent is not None and state != "refused":
            self._asked(at, intent, asked)

    def _called(self, entry: Followed, told: Ended, asked: Asked, judged: facts.Judged | None) -> None:
        """What is true of a call, so also of a further round that a plugin asked for, which is no turn of anybody's."""
        at, completed = entry.at, entry.state == "completed"
        for failed in told.retries:
            self._add(at, "retry", failed.instance, failed.error[:32])
        if told.retries and completed and told.retries[-1].instance != entry.instance:
            self._add(at, "fallback", entry.instance, entry.state)
        for kind in asked.personal:
            self._add(at, "personal", kind)
        self._judged(at, [*asked.verdicts, *(judged.verdicts if judged is not None else told.verdicts)])
        if completed:
            self._timed(entry, told)

    def _found(self, at: float, asked: Asked, state: str) -> None:
        found = asked.decision.features
        if found.language is not None:
            self._add(at, "language", _language(found.language), state)
        if isinstance(found.intent, str) and found.intent:
            self._add(at, "intent", found.intent, state)
        elif found.intent_score is not None:
            self._add(at, "intent", "", state)

    def _judged(self, at: float, verdicts: Sequence[Hit]) -> None:
        told = {(hit.list, hit.word, f"{hit.action} {hit.where}"[:32]) for hit in verdicts}
        for name, state in {(name, state) for name, _, state in told}:
            self._add(at, "filter", name, state)
        for name, word, state in told:
            if word:
                self._add(at, "word", f"{name}{SEPARATOR}{word}", state)

    def _timed(self, entry: Followed, told: Ended) -> None:
        name = entry.instance if entry.model == AUTO else entry.model
        key = int(entry.at // HOUR), name[:200], told.instance_id
        timing = self.delta.timings.get(key)
        if timing is None:
            timing = self.delta.timings[key] = Timing()
        timing.add(told)

    def _asked(self, at: float, intent: Followed, asked: Asked) -> None:
        """What a conversation was begun with: follow-ups say nothing alone. What a list masked is not kept."""
        if asked.edge in OURSELVES or not intent.user:
            return
        if facts.begun(intent).parent or any(hit.action in _REFUSING for hit in asked.verdicts):
            return
        text = questions.opening_question(asked.messages)
        if text is None:
            return
        if self._mask is not None and len(text) <= 4 * questions.LONGEST:
            text = self._mask(text)
        if (plain := questions.normal_form(text)) is not None:
            askers = self.delta.questions.setdefault(int(at // DAY), {}).setdefault(plain, {})
            askers[intent.user] = askers.get(intent.user, 0) + 1

    def _open_end(self, session: str) -> float | None:
        ended = self.delta.ends.get(session)
        return self._before.get(session) if ended is None and session not in self.delta.gone else ended

    def _close(self, session: str) -> None:
        self.delta.ends.pop(session, None)
        if session in self._before:
            self.delta.gone.add(session)

    def _add(self, at: float, what: str, name: str, state: str = "") -> None:
        names = self._names.setdefault(what, set())
        if name not in names:
            if len(names) >= NAMES:
                name = OTHERS
            names.add(name)
        key = int(at // HOUR), what, name[:200], state
        counts = self.delta.counts
        counts[key] = counts.get(key, 0) + 1


def _language(found: Any) -> str:
    """What is none, a caller made up."""
    return found if isinstance(found, str) and (not found or _LANGUAGE.fullmatch(found)) else OTHERS
