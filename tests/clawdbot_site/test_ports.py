"""A port that was given out stays its holder's, whoever else asks."""

import socket
import subprocess
import sys

from clawdbot_site.selftest import ports

ASKS = "import sys\nfrom clawdbot_site.selftest.ports import claimed\nsys.exit(claimed(int(sys.argv[1])))"


def claimed_elsewhere(port: int) -> bool:
    return bool(subprocess.run([sys.executable, "-c", ASKS, str(port)], timeout=100).returncode)


def test_it_gives_no_port_twice_and_none_that_the_system_gives():
    found = [ports.free_port() for _ in range(50)]
    assert len(set(found)) == 50
    with open("/proc/sys/net/ipv4/ip_local_port_range") as said:
        first, _ = said.read().split()
    assert max(found) < int(first)


def test_another_process_is_not_given_it_though_nobody_listens_yet():
    port = ports.free_port()
    assert not claimed_elsewhere(port) and not ports.claimed(port)
    with socket.create_server(("127.0.0.1", port)):
        pass  # it is its holder's to bind


def test_what_a_process_claimed_is_free_again_when_it_has_ended():
    port = ports.free_port()
    ports._claims.pop().close()
    assert claimed_elsewhere(port) and ports.claimed(port)


def test_it_gives_none_that_somebody_listens_on():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert not ports.claimed(listener.getsockname()[1])
