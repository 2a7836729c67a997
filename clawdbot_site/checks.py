"""What stops the start: settings that are unsafe, stores of a kind that cannot do the work."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import redis
from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.db import DatabaseError, connections

from clawdbot_site import known_secrets, row_security
from tenants.addresses import numbered
from tenants.directory import TenantTable, compile_tenants
from tenants.survey import lacking_databases, survey

STORES = "stores"


@register("clawdbot")
def unsafe_settings(app_configs: Sequence[AppConfig] | None = None, **named: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if not settings.DEBUG:
        found += [Error(text, id=f"clawdbot.E{number:03}") for number, text in known_secrets.problems(settings)]
    else:
        for name, host in (("HOST", settings.HOST), ("GRPC_HOST", settings.GRPC_HOST)):
            if not loopback(host):
                found.append(Error(exposed(f"{name} {host}"), id="clawdbot.E004"))
    return found


def exposed(address: str) -> str:
    return f"DEBUG shows internals to everybody who reaches {address}; turn it off."


def loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


@register("clawdbot", deploy=True)
def unnamed_proxy(app_configs: Sequence[AppConfig] | None = None, **named: Any) -> list[CheckMessage]:
    """We speak no HTTPS ourselves, so something in front does."""
    if settings.HTTPS and not settings.TRUSTED_PROXIES:
        text = "PUBLIC_URL is https://, and TRUSTED_PROXIES names nobody: every caller seems to be at one address."
        hint = "Failed sign-ins of one person then lock out everybody, and browsers are not kept to HTTPS."
        return [Warning(text, hint=hint, id="clawdbot.W014")]
    return []


@register(STORES, deploy=True)
def standalone_stores(app_configs: Sequence[AppConfig] | None = None, **named: Any) -> list[CheckMessage]:
    """Asks the servers; runs when the product starts (and with `check --deploy`), not with every command."""
    urls = {"BROKER_URL": settings.BROKER_URL, "CHANNEL_URL": settings.CHANNEL_URL, "CACHE_URL": settings.CACHE_URL}
    return store_problems(urls)


@register(STORES, deploy=True)
def databases_of_tenants(app_configs: Sequence[AppConfig] | None = None, **named: Any) -> list[CheckMessage]:
    """Whether the platform's store has a database for every tenant that is to have one. Blocking; asks the server."""
    try:
        tenants = compile_tenants()
    except DatabaseError:  # there are no tables yet
        return []
    (report,) = survey(settings.VALKEY_NODES, TenantTable())
    lacking = lacking_databases(report, list(tenants.by_id.values()))
    return [Warning(f"REDIS_HOST: {problem}.", id="clawdbot.W011") for problem in lacking]


@register(STORES, deploy=True)
def second_wall(app_configs: Sequence[AppConfig] | None = None, **named: Any) -> list[CheckMessage]:
    """Whether PostgreSQL itself keeps tenants apart, and whom it is asked as. Blocking; asks the servers."""
    found: list[CheckMessage] = []
    for alias, name in (("default", "DATABASE_URL"), ("journal", "JOURNAL_URL")):
        if connections[alias].vendor != "postgresql":
            continue
        try:
            problems, superuser = row_security.problems(alias), row_security.is_superuser(alias)
        except DatabaseError:  # away; whatever needs it says so
            continue
        hint = "`manage.py rowsecurity` sets it right; docs/isolation.md has what an administrator may have to do."
        found += [Warning(f"{name}: {problem}", hint=hint, id="clawdbot.W012") for problem in problems]
        if superuser:
            text = f"{name} connects as a superuser, whom no policy binds outside of tenants' requests."
            found.append(Warning(text, hint="Give the product a role of its own.", id="clawdbot.W013"))
    return found


def store_problems(urls: dict[str, str]) -> list[CheckMessage]:
    """An Error for each URL that is a cluster, a Warning for each that does not answer. `urls`: setting name to URL."""
    found: list[CheckMessage] = []
    for name, url in urls.items():
        clients = _clients(url)
        if not clients:
            continue
        shown = _shown(url)
        try:
            first, own = clients
            clustered = bool(first.info("cluster").get("cluster_enabled"))
            if not clustered:
                own.ping()
        except redis.RedisError as error:
            found.append(Warning(f"{name}: {shown} does not answer ({error}).", id="clawdbot.W010"))
        else:
            if clustered:
                found.append(
                    Error(
                        f"{name}: {shown} is a cluster; only sessions may live in one: set {name} to a standalone one.",
                        id="clawdbot.E010",
                    )
                )
        finally:
            for client in clients:
                client.close()
    return found


def _clients(url: str) -> list[redis.Redis]:
    """One of database 0, which every server has, then one of its own database. Empty: not a Redis protocol (a broker
    may be RabbitMQ)."""
    parts = urlsplit(url)
    if parts.scheme == "redis+socket":  # Kombu's spelling
        url = f"unix://{parts.path}?db={dict(parse_qsl(parts.query)).get('virtual_host', '0')}"
    elif parts.scheme not in ("redis", "rediss", "unix"):
        return []
    addresses = (numbered(url, 0), url)
    return [redis.Redis.from_url(each, socket_timeout=2, socket_connect_timeout=2) for each in addresses]


def _shown(url: str) -> str:
    """The address without its password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
