import asyncio
import socket

from clawdbot_site.serving.bursts import MAX_BYTES, Burst


class Wire(asyncio.Transport):
    """Notes what is done to it."""

    def __init__(self):
        super().__init__()
        self.done = []
        self.closing = False

    def is_closing(self):
        return self.closing

    def get_protocol(self):
        return None

    def get_write_buffer_size(self):
        return 0

    def get_extra_info(self, name, default=None):
        return name

    def write(self, data):
        self.done.append(bytes(data))

    def write_eof(self):
        self.done.append("eof")

    def close(self):
        self.done.append("close")
        self.closing = True

    def abort(self):
        self.done.append("abort")
        self.closing = True


def pair():
    wire = Wire()
    return wire, Burst(wire, asyncio.get_running_loop())


async def test_it_sends_one_step_at_once():
    wire, burst = pair()
    for data in (b"a", b"b", b"c"):
        burst.write(data)
    assert wire.done == []
    await asyncio.sleep(0)
    burst.write(b"d")
    await asyncio.sleep(0)
    assert wire.done == [b"abc", b"d"]


async def test_it_keeps_back_no_more_than_its_bound():
    wire, burst = pair()
    burst.write(b"x" * MAX_BYTES)
    assert wire.done == []
    burst.write(b"y")
    assert wire.done == [b"x" * MAX_BYTES + b"y"]


async def test_it_sends_before_it_ends():
    for end, noted in ((lambda burst: burst.write_eof(), "eof"), (lambda burst: burst.close(), "close")):
        wire, burst = pair()
        burst.write(b"last")
        end(burst)
        await asyncio.sleep(0)
        assert wire.done == [b"last", noted]


async def test_it_sends_nothing_after_an_abort():
    wire, burst = pair()
    burst.write(b"lost")
    burst.abort()
    await asyncio.sleep(0)
    assert wire.done == ["abort"]


async def test_it_is_the_transport_in_everything_else():
    _, burst = pair()
    assert burst.get_extra_info("peername") == "peername"


async def test_it_delivers_over_a_socket_what_was_written_before_the_close():
    here, there = socket.socketpair()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=here)
    burst = Burst(transport, loop)
    burst.writelines([b"he", b"llo"])
    burst.close()
    there.setblocking(False)
    with there:
        assert await loop.sock_recv(there, 100) == b"hello"
