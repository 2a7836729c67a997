"""A stream of a console ends with the session, the place or the role it was opened with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user
from django.http import HttpRequest, StreamingHttpResponse
from django.test import Client

from access.console.tenant.lasting import EVERY, while_allowed
from access.console.tenant.place import place_of
from tenants.models import Member

END: dict[str, Callable[[Client, Any], Any]] = {
    "the session ended": lambda client, cast: client.logout(),
    "the password is another": lambda client, cast: _other_password(cast.alice.user),
    "the person is switched off": lambda client, cast: type(cast.alice.user).objects.update(is_active=False),
    "the place is gone": lambda client, cast: Member.objects.everywhere().filter(pk=cast.alice.pk).delete(),
    "the role may not": lambda client, cast: Member.objects.everywhere().filter(pk=cast.alice.pk).update(role="member"),
    "the tenant is suspended": lambda client, cast: type(cast.acme).objects.update(is_active=False),
}


def _other_password(user: Any) -> None:
    user.set_password("another long password")
    user.save()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def pieces() -> AsyncIterator[bytes]:
    for number in range(9):
        yield str(number).encode()


@pytest.fixture
def asked(alice: Client) -> HttpRequest:
    request = HttpRequest()
    request.session = alice.session
    request.user = get_user(request)
    return request


async def read(asked: HttpRequest, then: Callable[[], Any]) -> bytes:
    """What comes when `then` happens behind the third piece."""
    clock = Clock()
    place = await sync_to_async(place_of)(asked)
    assert place is not None
    answer = while_allowed(StreamingHttpResponse(pieces()), asked, place, "sessions", clock=clock)
    told = b""
    async for piece in answer:
        told += piece
        clock.now += EVERY / 2
        if len(told) == 3:
            await sync_to_async(then)()
    return told


@pytest.mark.django_db(transaction=True)
async def test_it_goes_on_to_its_end_for_whoever_may(asked: HttpRequest) -> None:
    assert await read(asked, lambda: None) == b"012345678"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("why", END)
async def test_it_ends_with_what_it_was_given_for(
    asked: HttpRequest, alice: Client, cast: SimpleNamespace, why: str
) -> None:
    assert await read(asked, lambda: END[why](alice, cast)) in (b"012", b"0123")
