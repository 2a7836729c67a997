"""What services in containers of their own need before they start, where no launcher does it: tables, the model that
the settings name, and somebody who may sign in."""

from __future__ import annotations

import time
from collections.abc import Callable

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import DatabaseError, OperationalError, connections
from django.db.migrations.executor import MigrationExecutor

from clawdbot_site.serving import models
from clawdbot_site.serving.bootstrap import Access
from clawdbot_site.serving.listening import grpc_port, target
from tenants.models import User
from tenants.seeding import seed_platform

LOOK_EVERY = 1.0  # seconds


class CannotPrepare(Exception):
    """Its text is one clear line."""


def wait_for_databases(seconds: float, say: Callable[[str], None]) -> None:
    """Returns when every database answers. Raises CannotPrepare after `seconds`."""
    _wait(seconds, _unreachable, say)


def wait_for_tables(seconds: float, say: Callable[[str], None]) -> None:
    """Returns when every database has the tables of this version. Raises CannotPrepare after `seconds`."""
    _wait(seconds, lambda: _unreachable() or _behind(), say)


def _wait(seconds: float, reason: Callable[[], str], say: Callable[[str], None]) -> None:
    deadline, said = time.monotonic() + seconds, ""
    while why := reason():
        if why != said:
            say(f"Waiting: {why}")
            said = why
        if time.monotonic() > deadline:
            raise CannotPrepare(f"Not within {seconds:.0f} s: {why}")
        time.sleep(LOOK_EVERY)


def _unreachable() -> str:
    for alias in settings.DATABASES:
        try:
            connections[alias].ensure_connection()
        except OperationalError as error:
            connections[alias].close()
            return f"the database `{alias}` does not answer ({str(error).splitlines()[0]})"
    return ""


def _behind() -> str:
    for alias in settings.DATABASES:
        try:
            executor = MigrationExecutor(connections[alias])
            lacking = executor.migration_plan(executor.loader.graph.leaf_nodes())
        except DatabaseError:
            connections[alias].close()
            return f"the database `{alias}` went away"
        if lacking:
            return f"the database `{alias}` lacks {len(lacking)} migrations (`manage.py prepare` applies them)"
    return ""


def prepare(say: Callable[[str], None]) -> None:
    """Applies what is missing to every database, then keeps the model instance of the settings in step. Safe at every
    start; by one process at a time."""
    for alias in settings.DATABASES:
        say(f"Migrating the database `{alias}` …")
        try:
            call_command("migrate", database=alias, interactive=False, verbosity=0)
        except OperationalError as error:  # away meanwhile, or in use for longer than MIGRATE_PATIENCE
            raise CannotPrepare(f"The database `{alias}` cannot be migrated: {str(error).splitlines()[0]}") from None
    try:
        models.ensure(None)
    except ValidationError as refused:
        raise CannotPrepare(f"MODEL_ENDPOINT cannot be used: {' '.join(refused.messages)}") from None


def first_access() -> Access:
    """Makes the administrator, the demo tenant and a key. Raises CannotPrepare where there is an administrator: what is
    given once is kept nowhere."""
    if User.objects.filter(is_superuser=True).exists():
        raise CannotPrepare("There is an administrator already; `manage.py changepassword NAME` sets another password.")
    made = seed_platform(new_key=True)
    number = grpc_port(settings.GRPC_PORT, settings.PORT)
    return Access(
        base_url=settings.PUBLIC_URL,
        tenant=made.tenant,
        admin_user=made.admin_user,
        admin_password=made.admin_password or "",
        api_key=made.api_key or "",
        grpc_target=target(settings.GRPC_HOST, number) if number else "",
    )
