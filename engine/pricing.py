"""What a call costs, in whole millionths of the unit prices are in (see `Instance.price_in`)."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from engine.types import Instance, Usage

UNIT: Final = 1_000_000


def cost(instance: Instance, usage: Usage) -> int:
    """Prices are for a million tokens, so that tokens times the price are millionths; rounded half to even, once."""
    return price(instance, usage.prompt_tokens, usage.completion_tokens)


def price(instance: Instance, prompt_tokens: int, completion_tokens: int) -> int:
    return round(prompt_tokens * instance.price_in + completion_tokens * instance.price_out)


def micros(amount: Decimal | None) -> int | None:
    """Money of the unit that prices are in, in millionths."""
    return None if amount is None else int(amount * UNIT)
