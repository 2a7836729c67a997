import asyncio

import pytest
from django.db import connection
from django.http import HttpResponse
from django.urls import re_path

from access.body_limits import BodyLimits
from access.lean import LeanHandler, TouchedDatabase, guard_connections
from tenants.models import Tenant
from tests.access.asgi_client import Client
from tests.access.parts import KnownKeys, elsewhere


def site(view):
    return Client(LeanHandler([re_path(r"^here\Z", view)], elsewhere, BodyLimits(KnownKeys())))


async def test_it_serves_a_plain_view():
    async def view(request):
        return HttpResponse(request.body + request.META["HTTP_X_A"].encode(), headers={"X-B": "2"})

    answer = await site(view).post("/here", b"1", {"X-A": "3"})
    assert (answer.status, answer.body, answer.headers["x-b"]) == (200, b"13", "2")
    assert answer.headers["content-length"] == "2" and answer.headers["x-request-id"]


@pytest.mark.django_db(transaction=True)
async def test_it_refuses_the_database_to_its_views():
    guard_connections()
    seen = []

    async def view(request):
        try:
            await Tenant.objects.acount()
        except TouchedDatabase as error:
            seen.append(error)
        return HttpResponse()

    await site(view).get("/here")
    assert seen
    assert await Tenant.objects.acount() == 0


@pytest.mark.django_db
def test_it_leaves_other_database_work_alone():
    guard_connections()
    guard_connections()
    assert Tenant.objects.count() == 0
    assert len(connection.execute_wrappers) == len(set(connection.execute_wrappers))


async def test_it_cancels_a_view_whose_reader_left():
    ended = asyncio.Event()

    async def view(request):
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    exchange = site(view).begin("GET", "/here")
    await asyncio.sleep(0.03)
    exchange.leave()
    await asyncio.wait_for(ended.wait(), 30)
    await exchange.task
    assert exchange.status == 0


async def test_it_lets_a_cancellation_of_its_own_server_pass():
    async def view(request):
        await asyncio.Event().wait()

    exchange = site(view).begin("GET", "/here")
    await asyncio.sleep(0.03)
    exchange.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await exchange.task
