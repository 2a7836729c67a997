"""Whether a service of this container is well: `healthy.py web [PATH]` or `healthy.py grpc`. Exit 0 or 1 with a line.

For health checks of Docker, in an image without curl; imports next to nothing, since it runs every few seconds."""

from __future__ import annotations

import http.client
import os
import sys

SECONDS = 5.0


def web(path: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ.get("PORT") or 8000), timeout=SECONDS)
    connection.request("GET", path, headers={"Host": "127.0.0.1"})
    status = connection.getresponse().status
    return "" if status == 200 else f"{path} answers {status}"


def call() -> str:
    import grpc  # noqa: PLC0415  # half a second of CPU that the web server's check need not spend
    from grpc_health.v1 import health_pb2, health_pb2_grpc  # noqa: PLC0415

    number = os.environ.get("GRPC_PORT") or int(os.environ.get("PORT") or 8000) + 1
    with grpc.insecure_channel(f"127.0.0.1:{number}") as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=SECONDS)
        except grpc.RpcError as error:
            return f"the gRPC server does not answer ({error.code()})"
    return "" if answer.status == health_pb2.HealthCheckResponse.SERVING else "the gRPC server does not serve"


def main(kind: str = "web", path: str = "/readyz") -> int:
    try:
        problem = call() if kind == "grpc" else web(path)
    except (OSError, http.client.HTTPException) as error:
        problem = str(error)
    if problem:
        sys.stderr.write(f"{problem}\n")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
