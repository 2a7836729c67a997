"""The product's web server with another balancing policy: `python -m benchmarks.routing.gateway --fd N --ready-fd M`,
the policy's name in ROUTING_POLICY."""

from __future__ import annotations

import argparse
import os
import socket

from benchmarks.routing.policies import POLICIES
from clawdbot_site import asgi
from clawdbot_site.serving import webserver
from clawdbot_site.wiring import Application
from routing.selection import Balances
from routing.table import RoutingTable


def create() -> Application:
    application = asgi.create()
    application._routes.swap(RoutingTable(balances=Balances(POLICIES[os.environ["ROUTING_POLICY"]])))
    return application


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--ready-fd", type=int, required=True)
    options = parser.parse_args()
    webserver.serve(
        create,
        socket.socket(fileno=options.fd),
        workers=int(os.environ["WORKERS"]),
        all_ready=lambda: os.write(options.ready_fd, b"r") and None,
    )


if __name__ == "__main__":
    main()
