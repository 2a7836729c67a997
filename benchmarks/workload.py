"""What every measurement asks: bodies of 330 bytes that all differ, and conversations of six turns.

Six texts of eight are English, two Chinese; two call for reasoning, so that the rule on `complexity_score` matches too.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable

import orjson

BODY_BYTES = 330
APART = 499  # max_tokens by which `benchmarks.canned` knows that the chunks are to come one by one
TURNS = 6  # of a conversation; then the connection begins another one
TEXTS = (
    "Where can I see the status of the order I placed last week, and whom do I write to when the parcel is late?",
    "Please summarise the minutes of the meeting in three sentences and list who has promised to do what until when.",
    "Our office moves in March. Write a friendly note to the neighbours which says that there will be some noise.",
    "The invoice shows two positions twice. What do I answer the supplier so that he sends a corrected one at once?",
    "Which of the two insurance offers covers a rented car abroad, and what would we have to pay ourselves then?",
    "Prove step by step that the algorithm is optimal, derive its complexity and compare it with dynamic programming.",
    "请用三句话总结这份合同的主要内容，并说明双方各自需要在什么时候之前完成哪些工作。",
    "请分析并比较这两种分布式一致算法，逐步推导它们的复杂度，并评估各自的优缺点和适用场景。",
)


def _body(number: int, fields: dict[str, object], message: Callable[[str], dict[str, object]]) -> bytes:
    text = f"Request {number:08d}. {TEXTS[number % len(TEXTS)]}"
    whole = {**fields, **message(text)}
    lacking = BODY_BYTES - len(orjson.dumps(whole))
    if lacking < 0:
        raise ValueError(f"the text is {-lacking} bytes too long")
    padding = (" I am looking forward to a short and clear answer, thank you very much." * 4)[:lacking]
    return orjson.dumps({**fields, **message(text + padding)})


def openai(model: str = "auto", *, stream: bool = False, apart: bool = False) -> Callable[[int], bytes]:
    """Bodies for `/v1/chat/completions`. They hold what the rules test."""
    fields: dict[str, object] = {"model": model, "max_tokens": APART if apart else 500, "temperature": 0.5}
    if stream:
        fields["stream"] = True
    return lambda number: _body(number, fields, lambda text: {"messages": [{"role": "user", "content": text}]})


def rest(model: str = "auto", *, session_id: str = "", stream: bool = False) -> Callable[[int], bytes]:
    """Bodies for `/api/chat`."""
    fields: dict[str, object] = {"model": model, "max_tokens": 500, "temperature": 0.5}
    if stream:
        fields["stream"] = True
    if session_id:
        fields["session_id"] = session_id
    return lambda number: _body(number, fields, lambda text: {"message": text})


class Talk:
    """One connection's side of what is said: headers and body of the next request, and what it hears."""

    hears = False

    def __init__(self, body: Callable[[int], bytes]) -> None:
        self._body = body

    def say(self, number: int) -> tuple[str, bytes]:
        """Header lines of this request alone, and its body."""
        return "", self._body(number)

    def hear(self, body: bytes) -> None:
        """The whole answer; only called with `hears`."""


class NamedSessions(Talk):
    """`X-Session-Id`: a new session every six turns."""

    _names = itertools.count()

    def __init__(self, body: Callable[[int], bytes]) -> None:
        super().__init__(body)
        self._turn = 0
        self._name = ""

    def say(self, number: int) -> tuple[str, bytes]:
        if self._turn % TURNS == 0:
            self._name = f"bench-{next(self._names)}"
        self._turn += 1
        return f"X-Session-Id: {self._name}\r\n", self._body(number)


class GivenSessions(Talk):
    """`/api/chat`: the first turn is given a session, five more name it."""

    hears = True

    def __init__(self, body: Callable[[int], bytes] | None = None) -> None:
        super().__init__(body or rest())
        self._turn = 0
        self._next = self._body

    def say(self, number: int) -> tuple[str, bytes]:
        self._turn += 1
        return "", self._next(number)

    def hear(self, body: bytes) -> None:
        if self._turn % TURNS == 0:
            self._next = self._body
        elif self._turn % TURNS == 1:
            self._next = rest(session_id=json.loads(body)["session_id"])
