"""What the lists of the management API share: ids in paths, and pages by key, quick however long a list is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Final, NamedTuple, TypeVar

from django.db import models
from msgspec import Meta
from rest_framework.request import Request

from engine.errors import InvalidRequest, NotFound

M = TypeVar("M", bound=models.Model)

MOST: Final = 200  # rows of a page
USUAL: Final = 50
LONGEST_SEARCH: Final = 100  # characters

Line = Annotated[str, Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
Number = Annotated[int, Meta(ge=1, le=10**18 - 1)]  # an id
LIST_QUERY: Final = (
    ("after", "integer", "`next` of the page before."),
    ("limit", "integer", f"1 to {MOST}; {USUAL} unless told."),
)
SEARCH_QUERY: Final = (*LIST_QUERY, ("search", "string", f"A part of the name; at most {LONGEST_SEARCH} characters."))

_NUMBER = re.compile(r"[1-9][0-9]{0,17}\Z")
_UNSEEN = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


class Page(NamedTuple):
    """What a list is asked for: rows older than `after`, at most `limit`; `filters` are the other words of the query,
    each perhaps empty."""

    after: int | None
    limit: int
    filters: dict[str, str]


def page_of(request: Request, *filters: str) -> Page:
    """Raises InvalidRequest: a word of the query that is none of `filters`, or a value that makes no sense."""
    given = request.query_params
    for name in given:
        if name not in ("after", "limit", *filters):
            raise InvalidRequest(f"{name[:50]}: there is no such filter.", param=name[:50])
        if len(given.getlist(name)) > 1:
            raise InvalidRequest(f"{name}: is given twice.", param=name)
    texts = {name: given.get(name, "").strip() for name in filters}
    for name, text in texts.items():
        if len(text) > LONGEST_SEARCH or _UNSEEN.search(text):
            raise InvalidRequest(f"{name}: at most {LONGEST_SEARCH} characters, none of control.", param=name)
    limit = _whole(given.get("limit"), "limit", MOST) or USUAL
    return Page(_whole(given.get("after"), "after", 10**18 - 1), limit, texts)


def one_of(page: Page, name: str, choices: Sequence[str]) -> str:
    """A filter that takes some words; empty: not asked for. Raises InvalidRequest."""
    value = page.filters[name]
    if value and value not in choices:
        raise InvalidRequest(f"{name}: must be one of {', '.join(choices)}.", param=name)
    return value


def cut(rows: models.QuerySet[M, M], page: Page) -> tuple[list[M], int | None]:
    """The page of `rows`, newest first, and the `after` of the next one; None: this is the last."""
    if page.after is not None:
        rows = rows.filter(pk__lt=page.after)
    found: list[Any] = list(rows.order_by("-pk")[: page.limit + 1])
    return found[: page.limit], found[page.limit - 1].pk if len(found) > page.limit else None


def number(text: str, missing: str) -> int:
    """An id in a path. No row has another form of id, so there is nothing to look for: NotFound with `missing`."""
    if not _NUMBER.match(text):
        raise NotFound(missing)
    return int(text)


def _whole(text: str | None, name: str, most: int) -> int | None:
    if text is None:
        return None
    if not _NUMBER.match(text) or int(text) > most:
        raise InvalidRequest(f"{name}: must be 1 to {most}.", param=name)
    return int(text)
