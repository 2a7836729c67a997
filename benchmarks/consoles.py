"""What every page of both consoles costs the server where a tenant is large.

    python -m benchmarks.consoles [--keys 400000] [--members 100000] [--entries 10000000] [--rounds 3]

A web server over filled databases (SQLite), each page asked for as an operator and as the tenant's owner. The pages are
those the two sites know and the first row of each list, so a new one is measured without being named here. Prints
seconds from request to the whole answer, the least of the rounds after a first that does not count, and exits with 1 if
one takes longer than `LIMIT`."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection

from benchmarks.environment import ROOT, Environment

LIMIT = 0.5  # seconds
PREFIXES = ("admin/", "console/")
PAGES = """
import json, django
django.setup()
from django.urls import get_resolver
def walk(patterns, path):
    for each in patterns:
        here = path + str(each.pattern)
        if hasattr(each, "url_patterns"):
            yield from walk(each.url_patterns, here)
        elif "(" not in here and "<" not in here:
            yield here
print(json.dumps(sorted(set(walk(get_resolver().url_patterns, "")))))
"""
ROW = re.compile(rb'href="(/[^"?]+/(?:\d+|[0-9a-f]{32})/(?:change/)?)')
NO_PAGES = ("logout", "jsi18n", "autocomplete", "password_change/done")


class Filled(Environment):
    """The environment with other rows than usual."""

    def __init__(self, counts: list[str]) -> None:
        super().__init__()
        self._counts = counts

    def fill(self, environment: dict[str, str]) -> dict[str, str]:
        command = [sys.executable, "-m", "benchmarks.console_rows", *self._counts]
        filled = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True)
        found: dict[str, str] = json.loads(filled.stdout)
        return found

    def pages(self) -> Iterator[tuple[str, str]]:
        """Whose they are, and where."""
        command = [sys.executable, "-c", PAGES]
        listed = subprocess.run(command, cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, check=True)
        for path in json.loads(listed.stdout):
            for prefix in PREFIXES:
                if path.startswith(prefix) and not any(word in path for word in NO_PAGES):
                    yield prefix.rstrip("/"), f"/{path}"


def main() -> int:
    asked = argparse.ArgumentParser()
    asked.add_argument("--keys", type=int, default=400_000)
    asked.add_argument("--members", type=int, default=100_000)
    asked.add_argument("--entries", type=int, default=10_000_000)
    asked.add_argument("--rounds", type=int, default=3)
    given = asked.parse_args()
    began = time.monotonic()
    slow = []
    with Filled([str(given.keys), str(given.members), str(given.entries)]) as running:
        print(f"filled and started after {time.monotonic() - began:.0f} s")
        pages = list(running.pages())
        for site, path in pages:  # grows by the first row of each list
            seconds, status, body = _ask(running, site, path, given.rounds)
            size = len(body)
            if found := ROW.search(body):
                row = (site, found[1].decode())
                pages += [row] * (row not in pages)
            mark = " SLOW" if seconds > LIMIT else ""
            print(f"{seconds * 1000:8.0f} ms  {status}  {size:8}  {path}{mark}", flush=True)
            if mark or status >= 500:
                slow.append(path)
    print(f"{len(slow)} pages over {LIMIT * 1000:.0f} ms or broken: {', '.join(slow) or 'none'}")
    return 1 if slow else 0


def _ask(running: Filled, site: str, path: str, rounds: int) -> tuple[float, int, bytes]:
    least, status, body = float("inf"), 0, b""
    for number in range(rounds + 1):
        connection = HTTPConnection("127.0.0.1", running.port, timeout=120)
        began = time.perf_counter()
        connection.request("GET", path, headers={"Cookie": f"sessionid={running.keys[site]}"})
        answer = connection.getresponse()
        body = answer.read()
        seconds, status = time.perf_counter() - began, answer.status
        connection.close()
        least = min(least, seconds) if number else seconds if rounds == 0 else least
    return least, status, body


if __name__ == "__main__":
    sys.exit(main())
