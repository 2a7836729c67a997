"""The bodies of `/v1/embeddings`. Source: OpenAI's API reference, embeddings. Packed vectors, as its SDKs want them,
are base64 of 32-bit floats, the low byte first."""

from __future__ import annotations

import asyncio
import sys
from array import array
from base64 import b64encode
from typing import Annotated, Any, Final, Literal, TypeGuard

import msgspec
import orjson
from msgspec import Meta

from access import idempotency_keys, schemas
from engine.errors import InvalidRequest
from engine.types import AUTO, ChatRequest, Embeddings, Json, Message, RawHeaders
from sessions_app import vocabularies

MAX_INPUTS: Final = 2048
MAX_DIMENSIONS: Final = 16_384
PAUSE: Final = 50_000  # numbers written in about a millisecond, after which others have their turn

Form = Literal["float", "base64"]
Input = Annotated[str, Meta(min_length=1)]


class EmbeddingsBody(msgspec.Struct, kw_only=True):
    """`POST /v1/embeddings`. `model` absent or `auto`: the routing rules decide."""

    input: Input | Annotated[list[Input], Meta(min_length=1, max_length=MAX_INPUTS)]
    model: schemas.Name | None = None
    encoding_format: Form | None = None
    dimensions: Annotated[int, Meta(ge=1, le=MAX_DIMENSIONS)] | None = None
    user: schemas.Text | None = None


async def request_of(body: Json, *, request_id: str, headers: RawHeaders = ()) -> tuple[ChatRequest, Form]:
    """What is asked, and how the vectors are to be written. Texts may come as tokens, which word lists could not read:
    they become text again. Raises InvalidRequest."""
    given = body.get("input")
    if _holds_tokens(given):
        body = {**body, "input": await asyncio.to_thread(_texts, given)}
    asked = schemas.fields(body, EmbeddingsBody)
    texts = [asked.input] if isinstance(asked.input, str) else asked.input
    request = ChatRequest(
        messages=[Message("user", text) for text in texts],
        task="embeddings",
        model=asked.model or AUTO,
        params={"dimensions": asked.dimensions} if asked.dimensions is not None else {},
        user=asked.user,
        language=schemas.preferred_language(dict(headers).get(b"accept-language")),
        idempotency=idempotency_keys.given(headers),
        headers=headers,
        edge="embeddings",
        request_id=request_id,
    )
    return request, asked.encoding_format or "float"


def _holds_tokens(given: object) -> TypeGuard[list[Any]]:
    """One list of token numbers, or a list of such lists."""
    if not isinstance(given, list) or not given:
        return False
    first = given[0]
    if isinstance(first, list):
        return bool(first) and type(first[0]) is int
    return type(first) is int


def _texts(given: list[Any]) -> list[str]:
    lists = given if isinstance(given[0], list) else [given]
    if len(lists) > MAX_INPUTS:
        raise InvalidRequest(f"input: has more than {MAX_INPUTS} texts.", param="input")
    return [_text(tokens, "input" if lists is not given else f"input[{place}]") for place, tokens in enumerate(lists)]


def _text(tokens: object, at: str) -> str:
    if not isinstance(tokens, list) or not tokens or not all(type(token) is int for token in tokens):
        raise InvalidRequest(f"{at}: must be a text, or a list of tokens.", param=at)
    text = vocabularies.text_of(tokens)
    if text is None or "\0" in text:
        raise InvalidRequest(f"{at}: these are no tokens of {vocabularies.EMBEDDINGS}.", param=at)
    return text


async def answer(embeddings: Embeddings, form: Form) -> bytes:
    """The whole answer, a `list`. Of a large one other tasks run between the parts."""
    parts: list[bytes] = []
    unwritten = PAUSE
    for place, vector in enumerate(embeddings.vectors):
        numbers = b'"%b"' % _packed(vector) if form == "base64" else orjson.dumps(vector)
        parts.append(b'{"object":"embedding","index":%d,"embedding":%b}' % (place, numbers))
        unwritten -= len(vector)
        if unwritten < 0:
            unwritten = PAUSE
            await asyncio.sleep(0)
    tokens = embeddings.usage.prompt_tokens
    return b'{"object":"list","data":[%b],"model":%b,"usage":%b}' % (
        b",".join(parts),
        orjson.dumps(embeddings.model),
        orjson.dumps({"prompt_tokens": tokens, "total_tokens": tokens}),
    )


def _packed(vector: list[float]) -> bytes:
    numbers = array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return b64encode(numbers)
