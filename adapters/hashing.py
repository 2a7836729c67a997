"""Vectors without a model: as good as random, of length 1, and the same for the same text on every machine."""

from __future__ import annotations

from array import array
from hashlib import shake_256
from math import sqrt
from typing import Final

from engine.errors import UpstreamRejected
from engine.estimating import text_tokens
from engine.types import EmbedCall, Embedded, Usage

DIMENSIONS: Final = 64
MAX_DIMENSIONS: Final = 1024


def hashed(call: EmbedCall) -> Embedded:
    """What the adapters without a service answer. Raises UpstreamRejected beyond MAX_DIMENSIONS."""
    dimensions = DIMENSIONS if call.dimensions is None else call.dimensions
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise UpstreamRejected(f"dimensions: must be 1 to {MAX_DIMENSIONS}.", param="dimensions")
    vectors = [unit_vector(text, dimensions) for text in call.inputs]
    return Embedded(vectors, Usage(prompt_tokens=sum(map(text_tokens, call.inputs))))


def unit_vector(text: str, dimensions: int) -> list[float]:
    """Every number fits 32 bits exactly, so that what a client decodes is what was sent."""
    digest = shake_256(text.encode("utf-8", "surrogatepass")).digest(2 * dimensions)
    numbers = [int.from_bytes(digest[at : at + 2], "big") - 32767.5 for at in range(0, len(digest), 2)]
    length = sqrt(sum(number * number for number in numbers))
    return list(array("f", [number / length for number in numbers]))
