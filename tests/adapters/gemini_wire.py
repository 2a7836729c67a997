"""What a service that speaks generateContent says, for `tests.adapters.upstream`."""

from __future__ import annotations

from typing import Any

from tests.adapters import upstream as wire
from tests.adapters.upstream import Request

USAGE = {"promptTokenCount": 7, "candidatesTokenCount": 2, "totalTokenCount": 9}


def body(
    *parts: dict[str, Any], finish: str | None = None, index: int = 0, usage: Any = None, **fields: Any
) -> dict[str, Any]:
    """One event, or the object of an answer without."""
    content = {"content": {"parts": list(parts), "role": "model"}} if parts else {}
    candidate = {**content, **({"finishReason": finish} if finish else {}), "index": index, **fields.pop("more", {})}
    counted = {"usageMetadata": usage} if usage else {}
    return {"candidates": [candidate], **counted, "modelVersion": "m", "responseId": "resp-1", **fields}


def event(*parts: dict[str, Any], **fields: Any) -> bytes:
    """As Google ends its lines."""
    return wire.event(body(*parts, **fields)).replace(b"\n", b"\r\n")


def error(status: int, message: str = "no", said: str = "X", details: Any = (), **headers: str) -> list[Any]:
    told = {"code": status, "message": message, "status": said, "details": list(details)}
    return wire.answer(status, {"error": told}, **headers)


def by_verb(request: Request) -> int:
    return 1 if ":streamGenerateContent" in request.path else 0
