"""`replayrules FILE [--tenant SLUG] [--from T] [--to T] [--json]`: what recorded turns would have done under the rules
of a file. Nothing is saved. Exit 0; 1: the file is wrong, with line and column; 2: it could not run."""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from access.replay_text import lines
from access.replaying import Period, outcome, period, replayed
from compliance.journal.slots import NoSlot
from engine.errors import InvalidRequest
from routing import proposals
from routing.documents import ConfigurationError
from routing.models import RoutingRule
from tenants.models import Tenant

WRONG, COULD_NOT = 1, 2


class Command(BaseCommand):
    help = "Replays recorded turns against the routing rules of a YAML file, as loadconfig takes it; saves nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="path of the YAML file, or - for standard input")
        parser.add_argument(
            "--tenant", metavar="SLUG", help="the tenant whose rules these are; without it, the platform"
        )
        parser.add_argument("--from", dest="since", metavar="T", help="Unix seconds or ISO 8601; a day before --to")
        parser.add_argument("--to", dest="until", metavar="T", help="Unix seconds or ISO 8601; now")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print the result as JSON")

    def handle(
        self, *, file: str, tenant: str | None, since: str | None, until: str | None, as_json: bool, **_: Any
    ) -> None:
        during = _period(since, until)
        scope = _tenant(tenant)
        rules = _rules(file, scope)
        try:
            report = replayed(rules, scope.pk if scope is not None else None, during)
        except (DatabaseError, NoSlot) as error:
            raise CommandError(
                f"the journal or the configuration cannot be read: {error}", returncode=COULD_NOT
            ) from None
        result = outcome(report, scope, during)
        if as_json:
            self.stdout.write(json.dumps(result, ensure_ascii=False, indent=2))
        else:
            self.stdout.write("\n".join(lines(result)))


def _period(since: str | None, until: str | None) -> Period:
    try:
        return period(since, until)
    except InvalidRequest as error:
        raise CommandError(f"--{error.param}: {error.message}", returncode=COULD_NOT) from None


def _tenant(slug: str | None) -> Tenant | None:
    if slug is None:
        return None
    try:
        return Tenant.objects.get(slug=slug)
    except Tenant.DoesNotExist:
        raise CommandError(f"there is no tenant {slug!r}", returncode=COULD_NOT) from None
    except DatabaseError as error:
        raise CommandError(f"the database cannot be read: {error}", returncode=COULD_NOT) from None


def _rules(file: str, scope: Tenant | None) -> list[RoutingRule]:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8-sig")
        return proposals.from_yaml(text, scope.pk if scope is not None else None, environ=os.environ)
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file}: {error}", returncode=COULD_NOT) from None
    except ConfigurationError as error:
        raise CommandError(f"{'<stdin>' if file == '-' else file}:{error}", returncode=WRONG) from None
