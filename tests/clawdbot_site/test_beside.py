"""The server for metrics and health beside another one."""

import asyncio
import json

from access.asgi import respond
from clawdbot_site.serving.beside import Beside
from clawdbot_site.serving.listening import bind


async def answering(scope, receive, send):
    await respond(send, 200, scope["path"].encode(), [], content_type=b"text/plain")


async def said(port, request):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    async with asyncio.timeout(20):
        found = await reader.read()
    writer.close()
    return found


async def asked(port, path):
    answer = await said(port, b"GET %s HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n" % path.encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


async def test_several_processes_may_share_its_port():
    first = bind("127.0.0.1", 0, shared=True)
    port = first.getsockname()[1]
    both = [Beside(answering, listener) for listener in (first, bind("127.0.0.1", port, shared=True))]
    for beside in both:
        await beside.start()
    for beside in both:
        assert (await asked(port, "/livez"))[0] == 200
        await beside.stop()


async def test_it_answers_what_operators_ask_and_nothing_else():
    listener = bind("127.0.0.1", 0)
    port = listener.getsockname()[1]
    beside = Beside(answering, listener)
    await beside.start()
    for path in ("/metrics", "/metrics/", "/livez", "/readyz", "/startupz"):
        assert await asked(port, path) == (200, path.encode())
    for path in ("/", "/api/chat", "/admin/", "/metricsx"):
        status, body = await asked(port, path)
        assert status == 404 and json.loads(body)["error"]["code"] == "not_found"
    refused = await said(port, b"GET /metrics HTTP/1.1\r\nhost: x\r\na: %s\r\n\r\n" % (b"b" * 40_000))
    assert refused.startswith(b"HTTP/1.1 431 ")
    await beside.stop()
    with_nobody = await asyncio.gather(asyncio.open_connection("127.0.0.1", port), return_exceptions=True)
    assert isinstance(with_nobody[0], ConnectionRefusedError)
