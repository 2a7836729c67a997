"""`manage.py selftest audit` and `isolation`: a promise, tested on an instance of its own. Exit 0: it holds, 1: it is
broken, 2: it could not be tested."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any, Final

import msgspec
from django.core.management.base import BaseCommand

from clawdbot_site.selftest import audit
from clawdbot_site.selftest.isolation import furnishing, running
from clawdbot_site.selftest.recorded import recorded


class Command(BaseCommand):
    help = "Tests a promise on an instance of its own. Exit 0: it holds, 1: it is broken, 2: it could not be tested."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        tests = parser.add_subparsers(dest="test", required=True)
        kill = tests.add_parser("audit", help="kill -9 under load: every answer has its journal entries.")
        plan = audit.Plan()
        kill.add_argument("--rounds", type=int, default=plan.rounds, help="How often something is killed.")
        kill.add_argument("--answers", type=int, default=plan.answers, help="At least so many answers in all.")
        kill.add_argument("--clients", type=int, default=plan.clients, help="How many ask at once.")
        kill.add_argument("--seconds", type=float, default=plan.seconds, help="At least so long is a round.")
        kill.add_argument("--workers", type=int, default=plan.workers, help="Web workers.")
        kill.add_argument("--database", choices=("auto", "postgresql", "sqlite"), default=plan.database)
        kill.add_argument(
            "--server-kills", type=int, default=plan.server_kills, help="Every how many-th round PostgreSQL is killed."
        )
        kill.add_argument("--spool", action="store_true", help="With a spool for the time when the database is away.")
        tests.add_parser("recorded", help="What this instance's journal holds of such a test, a line a turn.")

        apart = tests.add_parser("isolation", help="Everybody asks for everything of another tenant's.")
        apart.add_argument("--json", action="store_true", help="The report as JSON.")
        apart.add_argument("--database", choices=running.DATABASES, default=running.Plan.database)
        apart.add_argument(
            "--quick", action="store_true", help="Every door still; pages are asked for by fewer people."
        )
        tests.add_parser("furnish", help="Makes the tenants of that test here. Not where there are others.")
        tests.add_parser("revoke", help="Revokes a key of theirs.")
        tests.add_parser("fingerprint", help="Of a tenant's configuration.").add_argument("tenant", type=int)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["test"] in INSIDE:
            self.stdout.write(json.dumps(INSIDE[options["test"]](options)))
            return
        if options["test"] == "isolation":
            self._isolation(as_json=options["json"], database=options["database"], quick=options["quick"])
            return
        if options["test"] == "recorded":
            encode = msgspec.json.Encoder().encode
            for line in recorded():
                self.stdout.write(encode(line).decode())
            return
        wanted = {field: options[field] for field in audit.Plan.__dataclass_fields__}
        code = audit.run(audit.Plan(**wanted), lambda text: self.stdout.write(text))
        if code:
            sys.exit(code)

    def _isolation(self, *, as_json: bool, database: str, quick: bool) -> None:
        say = self.stderr if as_json else self.stdout
        report = running.run(running.Plan(database=database, quick=quick), lambda text: say.write(text))
        self.stdout.write(report.json().decode() if as_json else "\n".join(report.lines()))
        if report.code:
            sys.exit(report.code)


# What the test does inside of its instance.
INSIDE: Final[dict[str, Callable[[dict[str, Any]], Any]]] = {
    "furnish": lambda options: furnishing.furnish(),
    "revoke": lambda options: furnishing.revoke(),
    "fingerprint": lambda options: furnishing.fingerprint(options["tenant"]),
}
