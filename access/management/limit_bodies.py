"""What the bodies of tenants and of allowances have in common: limits. A limit that is null is none."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Tokens = Annotated[int, Meta(ge=0, le=2**53)]
Money = Annotated[float, Meta(ge=0, le=99_999_999)]


class LimitsBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """All of them. Money in the unit prices have, with up to six decimals."""

    requests_per_minute: Count | None = None
    tokens_per_minute: Tokens | None = None
    concurrent_turns: Count | None = None
    money_per_day: Money | None = None
    money_per_month: Money | None = None


class LimitsPatch(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Those that are to change: what is absent stays, null takes a limit away."""

    requests_per_minute: Count | None | UnsetType = UNSET
    tokens_per_minute: Tokens | None | UnsetType = UNSET
    concurrent_turns: Count | None | UnsetType = UNSET
    money_per_day: Money | None | UnsetType = UNSET
    money_per_month: Money | None | UnsetType = UNSET
