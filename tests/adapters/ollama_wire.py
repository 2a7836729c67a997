"""What Ollama says, for `tests.adapters.upstream`."""

from __future__ import annotations

import json
from typing import Any

from tests.adapters import upstream as wire

COUNTS = {"prompt_eval_count": 7, "eval_count": 2}
TYPE = "application/x-ndjson"


def piece(content: str = "", *, done: bool = False, **fields: Any) -> dict[str, Any]:
    """One line, or the object of an answer without."""
    message = {"role": "assistant", "content": content, **fields.pop("message", {})}
    return {"model": "m", "created_at": "2026-11-29T14:00:00.5Z", "message": message, "done": done, **fields}


def last(reason: str = "stop", **fields: Any) -> dict[str, Any]:
    return piece(done=True, done_reason=reason, **{**COUNTS, **fields})


def line(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"


def streamed(*pieces: dict[str, Any]) -> list[Any]:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {TYPE}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    return [head, *wire.streamed(map(line, pieces))[1:]]


def error(status: int, message: str = "no", **headers: str) -> list[Any]:
    return wire.answer(status, {"error": message}, **headers)
