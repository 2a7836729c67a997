"""What searches and exports of the journal write: lines of JSON, rows of CSV, and what a search found."""

from __future__ import annotations

import base64
import csv
import io
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from compliance.journal.listing import IN_FLIGHT
from compliance.journal.reader import TurnRecord
from compliance.journal.records import COLUMNS
from compliance.models import AuditEntry
from engine.entries import Completion, Intent
from engine.types import Choice, Json, Message

AROUND: Final = 80  # characters a snippet has on either side
# A spreadsheet would take a cell that begins so for a formula; in some languages also with the full-width forms.
MARK: Final = b"\xef\xbb\xbf"  # by which spreadsheets know UTF-8
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
CSV_COLUMNS: Final = (
    "id", "time", "tenant_id", "user", "key_id", "session_id", "edge", "model", "answered_by", "instance", "state",
    "error", "finish_reasons", "prompt_tokens", "completion_tokens", "first_token_seconds", "seconds", "verdicts",
    "question", "answer", "erased",
)  # fmt: skip

_encode = msgspec.json.Encoder().encode


class Hit(msgspec.Struct, frozen=True):
    """Where a turn says the text first: `where` is `question` or `answer`, `role` the message's."""

    id: str
    at: float
    user: str
    where: str
    role: str
    snippet: str


class SearchResult(msgspec.Struct, frozen=True):
    """Newest first. `read` turns were read, `unreadable` of them hold text nobody can read (erased, or broken).
    `complete` false: there were too many, and `reached` is the time of the last turn that was read."""

    text: str
    filters: Json
    read: int
    unreadable: int
    found: list[Hit]
    complete: bool
    reached: float | None


def seeker(text: str) -> Callable[[TurnRecord], Hit | None]:
    """Finds the text in what was asked and answered; letter case and full or half width make no difference."""
    pattern = re.compile(re.escape(unicodedata.normalize("NFKC", text)), re.IGNORECASE)

    def seek(record: TurnRecord) -> Hit | None:
        for where, role, said in _said(record):
            plain = said if said.isascii() else unicodedata.normalize("NFKC", said)
            if (match := pattern.search(plain)) is not None:
                start, end = max(match.start() - AROUND, 0), match.end() + AROUND
                snippet = ("…" if start else "") + plain[start:end] + ("…" if end < len(plain) else "")
                return Hit(record.turn_id, record.intent.at, record.intent.user, where, role, snippet)
        return None

    return seek


def _said(record: TurnRecord) -> Iterator[tuple[str, str, str]]:
    for message in record.intent.messages:
        yield from (("question", message.role, text) for text in _texts(message))
    for choice in record.sent:
        yield from (("answer", choice.message.role, text) for text in _texts(choice.message))


def _texts(message: Message) -> Iterator[str]:
    """What people would call the text of a message."""
    if isinstance(message.content, str):
        yield message.content
    elif message.content is not None:
        yield from (part["text"] for part in message.content if isinstance(part.get("text"), str))
    for text in (message.reasoning_content, message.refusal):
        if text:
            yield text
    for call in message.tool_calls or []:
        function = call.get("function")
        if isinstance(function, dict) and isinstance(function.get("arguments"), str):
            yield function["arguments"]


class ExportedEntry(msgspec.Struct, frozen=True):
    """An entry exactly as it is stored; `body` is base64."""

    turn_id: str
    kind: str
    number: int
    tenant_id: int
    at: float
    worker: str
    session_id: str | None
    user: str
    key_id: int | None
    model: str
    instance: str
    state: str
    body: str


class ExportedTurn(msgspec.Struct, frozen=True):
    """A line of an export: the turn as people read it, and its entries as they are stored. `intent` null: it cannot be
    read."""

    id: str
    state: str
    erased: bool
    intent: Intent | None
    completion: Completion | None
    partial: list[Choice]
    entries: list[ExportedEntry]


def json_line(entries: Sequence[AuditEntry], record: TurnRecord | None) -> bytes:
    exported = ExportedTurn(
        id=entries[0].turn_id,
        state=_state(entries),
        erased=record.erased if record is not None else False,
        intent=record.intent if record is not None else None,
        completion=record.completion if record is not None else None,
        partial=record.partial if record is not None else [],
        entries=[_stored(entry) for entry in entries],
    )
    return _encode(exported) + b"\n"


def _stored(entry: AuditEntry) -> ExportedEntry:
    columns: dict[str, Any] = {name: getattr(entry, name) for name in COLUMNS}
    return ExportedEntry(**{**columns, "body": base64.b64encode(bytes(entry.body)).decode("ascii")})


def _state(entries: Sequence[AuditEntry]) -> str:
    return next((entry.state for entry in entries if entry.kind == AuditEntry.Kind.COMPLETION), IN_FLIGHT)


def csv_head() -> bytes:
    return MARK + csv_row(CSV_COLUMNS)


def csv_line(entries: Sequence[AuditEntry], record: TurnRecord | None) -> bytes:
    intent = entries[0]
    state, time = _state(entries), datetime.fromtimestamp(intent.at, UTC).isoformat(timespec="milliseconds")
    if record is None:
        known = {"id": intent.turn_id, "time": time, "tenant_id": intent.tenant_id, "state": state}
        return csv_row([known.get(name) for name in CSV_COLUMNS])
    asked, end = record.intent, record.completion or Completion(turn_id="", tenant_id=0, at=0.0, state="aborted")
    verdicts = [*asked.verdicts, *end.verdicts]
    choices = [choice.message for choice in record.sent]
    return csv_row(
        [
            record.turn_id, time, asked.tenant_id, asked.user, asked.key_id, asked.session_id, asked.edge, asked.model,
            end.model, end.instance or asked.instance, state, end.error,
            " ".join(choice.finish_reason for choice in end.choices), end.usage.prompt_tokens,
            end.usage.completion_tokens, end.ttft, end.duration,
            "; ".join(f"{each.where} {each.action} {each.list}" for each in verdicts), _spoken(asked.messages),
            _spoken(choices), "yes" if record.erased else "",
        ]
    )  # fmt: skip


def _spoken(messages: Sequence[Message]) -> str:
    return "\n\n".join(f"{message.role}: {text}" for message in messages for text in _texts(message))


def csv_row(cells: Sequence[Any]) -> bytes:
    """A line of CSV in which nothing is a formula to a spreadsheet."""
    text = io.StringIO()
    csv.writer(text).writerow(["" if cell is None else _cell(cell) for cell in cells])
    return text.getvalue().encode()


def _cell(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell
