"""Which secrets a stranger would try first: those of examples, of images' defaults, and what is no secret at all.

`problems()` names what is wrong with the settings' own secrets. It is what keeps every process from starting outside of
DEBUG: the checks of commands run it, and so do Celery's workers, which run no checks of their own."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from tenants.secrets import SHORTEST as SHORTEST

SHORTEST_TOKEN: Final = 16
FEWEST: Final = 6  # different characters: what a hand held down on a key has less of
# Short words only where the word ends there: a random secret may well begin with four letters that mean something.
PLACEHOLDER: Final = re.compile(
    r"(?:change.?me|change.?this|replace|django-insecure|insecure|secret|s3cret|password|passw0rd|default|example|sample|"
    r"placeholder|notasecret|clawdbot|qwerty|letmein|123456|abcdef|012345|<|\$\{|"
    r"my.?(?:secret|key|password)|(?:change|test|todo|your|some|admin|root|xxxx|dummy|passwd|local)(?:[-_ .]|$))",
    re.IGNORECASE,
)
# What servers and their images come with, and what examples write there.
KNOWN_PASSWORDS: Final = frozenset(
    {"postgres", "valkey", "redis", "rabbitmq", "guest", "user", "minio", "minioadmin", "foobared", "hunter2", "db"}
)


class Problem(NamedTuple):
    """`number` is the check's: `clawdbot.E<number>`. `text` has no secret in it."""

    number: int
    text: str


def problems(settings: Any) -> list[Problem]:
    """Of Django's settings, or of anything with their names."""
    return [*_long_secrets(settings), *_alike(settings), *_passwords(settings)]


def guessable(secret: str, shortest: int = SHORTEST) -> bool:
    return len(secret) < shortest or len(set(secret)) < FEWEST or PLACEHOLDER.match(secret) is not None


def _long_secrets(settings: Any) -> Iterator[Problem]:
    advice = f"unset it (one is then made and kept under var/) or give {SHORTEST} random characters."
    for number, name in ((1, "SECRET_KEY"), (2, "MASTER_KEY"), (5, "SECRET_KEY_FALLBACKS"), (6, "JWT_KEY")):
        if any(guessable(part) for part in _parts(settings, name)):
            yield Problem(number, f"{name} is short or well known; {advice}")
    if _known_seed(settings.SIGNING_KEY):
        yield Problem(7, "SIGNING_KEY is well known; unset it, or give 32 random bytes in base64.")
    if settings.METRICS_TOKEN and guessable(settings.METRICS_TOKEN, SHORTEST_TOKEN):
        text = f"METRICS_TOKEN is short or well known; unset it, or give {SHORTEST_TOKEN} random characters."
        yield Problem(8, text)


def _parts(settings: Any, name: str) -> Sequence[str]:
    if name == "JWT_KEY":
        return settings.JWT_KEYS.all() if settings.JWT_KEYS.own else ()
    value = getattr(settings, name)
    return [part.strip() for part in value.split(",")] if name == "MASTER_KEY" else _listed(value)


def _listed(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value


def _known_seed(text: str) -> bool:
    """Of an Ed25519 key. What is no key at all is told by who would sign with it."""
    try:
        seed = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return len(set(seed)) < FEWEST or seed == bytes(range(len(seed))) or seed.isascii() and guessable(seed.decode())


def _alike(settings: Any) -> Iterator[Problem]:
    """One secret for two purposes: whoever learns it from one has the other (and a token for the metrics travels)."""
    names = ("SECRET_KEY", "MASTER_KEY", "JWT_KEY", "SIGNING_KEY", "METRICS_TOKEN")
    own = {name: set(_parts(settings, name)) - {""} for name in names}
    for first, second in combinations(names, 2):
        if own[first] & own[second]:
            yield Problem(3, f"{first} and {second} must differ.")


def _passwords(settings: Any) -> Iterator[Problem]:
    """Of servers that others than this machine can reach."""
    for name, host, user, password in (*_databases(settings), *_stores(settings), *_objects(settings)):
        if not password or here(host):
            continue
        if password == user or password.lower() in KNOWN_PASSWORDS or PLACEHOLDER.match(password):
            yield Problem(9, f"{name}: the password for {host} is well known; give the server another.")


Login = tuple[str, str, str, str]  # the setting, the host, the user's name there, the password


def _databases(settings: Any) -> Iterator[Login]:
    found = {"DATABASE_URL": settings.DATABASES["default"], "JOURNAL_URL": settings.DATABASES["journal"]}
    for name, database in {**found, "JOURNAL_WRITER_URL": settings.JOURNAL_WRITER or {}}.items():
        # what libpq is told by the address's query counts before the rest
        options = database.get("OPTIONS", {})
        host = options.get("hostaddr") or options.get("host") or database.get("HOST", "")
        user = options.get("user") or database.get("USER", "")
        yield name, host, user, options.get("password") or database.get("PASSWORD", "")


def _stores(settings: Any) -> Iterator[Login]:
    urls = [("REDIS_HOST", node) for node in settings.VALKEY_NODES]
    urls += [("BROKER_URL", url) for url in settings.BROKER_URL.split(";")]  # Kombu's list of brokers
    urls += [(name, getattr(settings, name)) for name in ("CHANNEL_URL", "CACHE_URL")]
    for name, url in urls:
        parts = urlsplit(url)
        asked = dict(parse_qsl(parts.query))
        user = asked.get("username") or unquote(parts.username or "")
        for password in (unquote(parts.password or ""), asked.get("password", "")):
            yield name, parts.hostname or "", user, password


def _objects(settings: Any) -> Iterator[Login]:
    """Of a server of one's own: Amazon's gives keys out itself."""
    options = settings.STORAGES["default"].get("OPTIONS", {})
    if endpoint := options.get("endpoint_url"):
        host, user = urlsplit(endpoint).hostname or "", options.get("access_key", "")
        yield "OBJECT_STORE_SECRET_KEY", host, user, options.get("secret_key", "")


def here(host: str) -> bool:
    """Loopback, or a unix socket."""
    try:
        return not host or host.startswith("/") or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
