"""What the web server does while nobody asks anything."""

import asyncio
import signal
import time
from types import SimpleNamespace

from clawdbot_site.serving.server import DATE_EVERY, DrainingServer


class Counting(DrainingServer):
    ticks = 0

    async def on_tick(self, counter):
        self.ticks += 1
        return await super().on_tick(counter)


def server():
    served = SimpleNamespace(app=lambda scope, receive, send: None, watch_connections=lambda number: print)
    return Counting(served)


async def test_it_looks_once_a_second():
    made = server()
    loop = asyncio.create_task(made.main_loop())
    await asyncio.sleep(DATE_EVERY / 2)
    assert made.ticks == 1
    assert dict(made.server_state.default_headers)[b"date"]
    loop.cancel()
    await asyncio.wait([loop])


async def test_it_stops_as_soon_as_it_is_told():
    made = server()
    loop = asyncio.create_task(made.main_loop())
    await asyncio.sleep(0.05)
    began = time.monotonic()
    made.handle_exit(signal.SIGTERM, None)
    await loop
    assert time.monotonic() - began < DATE_EVERY / 2


async def test_it_stops_where_it_was_told_before_it_began():
    made = server()
    made.handle_exit(signal.SIGTERM, None)
    await asyncio.wait_for(made.main_loop(), DATE_EVERY)
