"""`/api/limits`: what the caller may use, and what of it is used now."""

from __future__ import annotations

from typing import Any

import msgspec
from rest_framework.request import Request

from access.lean import JsonReply
from access.views import LeanView
from tenants.limits.money import money
from tenants.limits.standing import Count, Money, Standing
from tenants.webhooks import secret_of


class MinuteLimit(msgspec.Struct, kw_only=True):
    """`reset`: in how many seconds the oldest request leaves the minute, or all tokens are there again."""

    limit: int
    used: int
    remaining: int
    reset: float


class TurnLimit(msgspec.Struct, kw_only=True):
    limit: int
    used: int
    remaining: int


class MoneyLimit(msgspec.Struct, kw_only=True):
    """Amounts are decimal numbers in the unit of prices, as texts. `set_aside` is for calls under way. `used`,
    `set_aside` and `remaining` null: nobody can say now. `resets_at` is in Unix seconds."""

    limit: str
    used: str | None
    set_aside: str | None
    remaining: str | None
    resets_at: int


class LimitAnswer(msgspec.Struct, kw_only=True):
    """The limits of one subject; null: it has none of the kind. `of` is `tenant`, `key`, `member` or `model`, `name` a
    row's id or a model's name. `at_limit`: what becomes of a turn a budget has no room for, `refuse` or `cheaper`."""

    of: str
    name: str
    requests_per_minute: MinuteLimit | None
    tokens_per_minute: MinuteLimit | None
    concurrent_turns: TurnLimit | None
    money_per_day: MoneyLimit | None
    money_per_month: MoneyLimit | None
    at_limit: str


class LimitsAnswer(msgspec.Struct):
    """`webhook_secret`: what messages to the tenant's webhook are signed with; null unless the caller manages it."""

    limits: list[LimitAnswer]
    webhook_secret: str | None = None


class OwnLimits(LeanView):
    """GET: the caller's limits and the tenant's. Money of the tenant and its models is told to whoever reads its audit
    or manages it."""

    needs = ("chat", "audit", "manage")
    http_method_names = ["get"]

    async def get(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        caller = self.principal
        found = await self.parts.limits(
            caller.tenant_id,
            keys=() if caller.key_id is None else (caller.key_id,),
            members=() if caller.key_id is not None or caller.member_id is None else (caller.member_id,),
        )
        whole = bool(caller.scopes & {"audit", "manage"})
        told = [_told(each, money=whole or each.of in {"key", "member"}) for each in found]
        secret = secret_of(caller.tenant_id) if "manage" in caller.scopes else None
        return self.json(LimitsAnswer(told, secret), headers=[(b"cache-control", b"no-store")])


def _told(standing: Standing, *, money: bool) -> LimitAnswer:
    return LimitAnswer(
        of=standing.of,
        name=standing.name,
        requests_per_minute=_minute(standing.requests),
        tokens_per_minute=_minute(standing.tokens),
        concurrent_turns=_turns(standing.turns),
        money_per_day=_money(standing.day) if money else None,
        money_per_month=_money(standing.month) if money else None,
        at_limit=standing.at_limit,
    )


def _minute(count: Count | None) -> MinuteLimit | None:
    if count is None:
        return None
    return MinuteLimit(limit=count.limit, used=count.used, remaining=_rest(count), reset=round(count.reset, 3))


def _turns(count: Count | None) -> TurnLimit | None:
    return None if count is None else TurnLimit(limit=count.limit, used=count.used, remaining=_rest(count))


def _rest(count: Count) -> int:
    return max(0, count.limit - count.used)


def _money(found: Money | None) -> MoneyLimit | None:
    if found is None:
        return None
    used, aside = found.used, found.set_aside
    rest = None if used is None or aside is None else money(max(0, found.limit - used - aside))
    return MoneyLimit(
        limit=money(found.limit),
        used=None if used is None else money(used),
        set_aside=None if aside is None else money(aside),
        remaining=rest,
        resets_at=found.resets_at,
    )
