"""What is asked, in any of the ways a caller may say it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clawdbot_client.events import Json

Asked = str | Sequence[Json]


def body(asked: Asked, fields: dict[str, Any]) -> Json:
    """The body of `/api/chat`: a user's text, or messages in OpenAI's format. What is None is left out."""
    said: Json = {"message": asked} if isinstance(asked, str) else {"messages": list(asked)}
    return {**said, **{name: value for name, value in fields.items() if value is not None}}
