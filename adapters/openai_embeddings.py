"""Embeddings of the OpenAI format: the request's body, and the answer, typed and bounded.

Source: the OpenAI API reference, embeddings. Numbers are asked for as JSON (`float`), which every service has; packed
ones (`base64`) not all."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from adapters.refusals import broken_stream
from engine.errors import UpstreamError, UpstreamRejected
from engine.types import EmbedCall, Embedded, Json, Usage

MAX_DIMENSIONS: Final = 16_384
MAX_NUMBERS: Final = 8 * 1024 * 1024  # of all vectors of an answer
BYTES_PER_VECTOR: Final = 32 * MAX_DIMENSIONS
MAX_BYTES: Final = 256 * 1024 * 1024
PAUSE: Final = 50_000  # numbers read in a millisecond or two, after which others have their turn
LARGEST: Final = 3.4028234663852886e38  # of 32 bits, in which clients keep them

Index = Annotated[int, Meta(ge=0, le=2**31)]
Count = Annotated[int, Meta(ge=0, le=2**40)]
Numbers = Annotated[list[float], Meta(min_length=1, max_length=MAX_DIMENSIONS)]


class _Vector(msgspec.Struct):
    """`index` is missing where a service keeps the order."""

    embedding: msgspec.Raw
    index: Index | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: Count | None = None
    total_tokens: Count | None = None


class _Body(msgspec.Struct):
    data: list[_Vector] = []
    usage: _Usage | None = None
    error: Any = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Body).decode
_decode_numbers = msgspec.json.Decoder(Numbers).decode


def body(call: EmbedCall) -> bytes:
    asked: Json = {"model": call.model, "input": call.inputs, "encoding_format": "float"}
    if call.dimensions is not None:
        asked["dimensions"] = call.dimensions
    return _encode(asked)


def max_bytes(call: EmbedCall) -> int:
    """What an answer to it may have at most."""
    return min(MAX_BYTES, (len(call.inputs) + 1) * BYTES_PER_VECTOR)


async def read(data: bytes, call: EmbedCall) -> Embedded:
    """Raises UpstreamError unless it is exactly one vector an input, all of one length, and UpstreamRejected when that
    is not what was asked for. Of a large answer other tasks run between the parts."""
    try:
        answer = _decode(data)
        if answer.error is not None:
            raise broken_stream(answer.error)
        vectors: list[list[float]] = []
        unread = PAUSE
        for raw in _in_order(answer.data, len(call.inputs)):
            vector = _decode_numbers(raw)
            _check(vector, vectors, call)
            vectors.append(vector)
            unread -= len(vector)
            if unread < 0:
                unread = PAUSE
                await asyncio.sleep(0)
    except (ValueError, RecursionError) as error:
        raise UpstreamError("The model's service answered with something else than vectors.") from error
    return Embedded(vectors, _counted(answer.usage))


def _in_order(found: list[_Vector], count: int) -> list[msgspec.Raw]:
    indexes = [place if vector.index is None else vector.index for place, vector in enumerate(found)]
    by_index = dict(zip(indexes, found, strict=True))
    if len(found) != count or sorted(by_index) != list(range(count)):
        raise UpstreamError("The model's service answered another number of inputs than were sent.")
    return [by_index[place].embedding for place in range(count)]


def _check(vector: list[float], before: list[list[float]], call: EmbedCall) -> None:
    length = len(vector)
    if before and length != len(before[0]):
        raise UpstreamError("The model's service answered with vectors of different lengths.")
    if not before and length * len(call.inputs) > MAX_NUMBERS:
        raise UpstreamError("The model's service answered with too much.")
    if not before and call.dimensions not in (None, length):
        raise UpstreamRejected(f"The vectors of this model have {length} dimensions.", param="dimensions")
    if max(vector) > LARGEST or min(vector) < -LARGEST:
        raise UpstreamError("The model's service answered with numbers that are too large.")


def _counted(usage: _Usage | None) -> Usage | None:
    if usage is None:
        return None
    tokens = usage.prompt_tokens if usage.prompt_tokens is not None else usage.total_tokens
    return Usage(prompt_tokens=tokens) if tokens is not None else None
