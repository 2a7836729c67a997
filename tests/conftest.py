"""What every suite shares: settings that point into a temporary folder, one Valkey server, both databases, the cast."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

VAR_DIR = Path(tempfile.mkdtemp(prefix="clawdbot-"))  # a process, so a worker of xdist, has its own
os.environ["VAR_DIR"] = str(VAR_DIR)
os.environ["DJANGO_SETTINGS_MODULE"] = "clawdbot_site.settings"
# This process forks only to become another program; gRPC's own care of forks aborts such a child now and then.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
for _name in ("REDIS_HOST", "REDIS_PASSWORD", "BROKER_URL", "CHANNEL_URL", "CACHE_URL", "MODEL_ENDPOINT", "API_KEY"):
    os.environ.pop(_name, None)
    os.environ.pop(f"{_name}_FILE", None)

import django  # noqa: E402  # the settings are read from here on
import hypothesis  # noqa: E402
import pytest  # noqa: E402

django.setup()

from django.conf import settings  # noqa: E402
from django.contrib.contenttypes.models import ContentType  # noqa: E402
from django.core.management.commands import flush  # noqa: E402
from django.db import connections  # noqa: E402

from tenants import keys, valkey  # noqa: E402
from tenants.models import ApiKey, Member, Tenant, User  # noqa: E402
from tests import cast as people  # noqa: E402
from tests.services.objects import ObjectServer  # noqa: E402
from tests.services.valkey import ValkeyServer  # noqa: E402

# How long an example takes says more of the machine than of the code.
hypothesis.settings.register_profile("shared", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("shared")

# A second is enough for a server that answers; here both may wait for a core. Tests of silent servers set their own.
valkey.CONNECT_TIMEOUT = 10.0

settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # the safe ones cost 0.5 s a person

# After a test that commits Django empties all tables and then makes content types and permissions anew, for every
# model; what is asked for is made when it is asked for.
flush.emit_post_migrate_signal = lambda *args, **options: ContentType.objects.clear_cache()

# Seconds after which a test that starts whole products is taken for hanging: with all they start, beside other work.
SERVER_TIME = 1200

DATABASE_FIXTURES = {"db", "transactional_db", "cast"}

# Files that take a minute or more, the longest first. A worker takes a whole file at a time: begun last, such a one
# would leave the other workers with nothing to do.
LONGEST = (
    "product/test_console_pages.py",
    "product/test_isolation_selftest.py",
    "product/test_isolation_leak.py",
    "product/test_naughty_names.py",
    "product/test_cluster.py",
    "product/test_backup.py",
    "product/test_selftest.py",
    "product/test_starts_and_stops.py",
    "product/test_dependencies.py",
    "product/test_canaries.py",
    "product/test_prometheus.py",
    "product/test_rolling.py",
    "product/test_front.py",
    "product/test_described.py",
    "product/test_hostile_wire.py",
    "product/test_resume.py",
    "product/test_erasing.py",
)


@pytest.hookimpl(trylast=True)  # folders' own say first which tests need a server
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that may use the database may use the journal's too; the longest files come first."""
    rank = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))
    for item in items:
        limit = item.get_closest_marker("timeout")
        if item.get_closest_marker("server") and (limit is None or limit.args[0] < SERVER_TIME):
            item.add_marker(pytest.mark.timeout(SERVER_TIME), append=False)
        marker = item.get_closest_marker("django_db")
        fixtures = set(getattr(item, "fixturenames", ()))
        if marker is None and not fixtures & DATABASE_FIXTURES:
            continue
        options = dict(marker.kwargs) if marker else {"transaction": "transactional_db" in fixtures}
        options.setdefault("databases", ["default", "journal"])
        item.add_marker(pytest.mark.django_db(*(marker.args if marker else ()), **options), append=False)


def pytest_configure(config: pytest.Config) -> None:
    """A worker of xdist that inherits the variable reads the settings before this file runs: with the folder, and the
    Valkey server, of its parent and so of every other worker."""
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        os.environ.pop("DJANGO_SETTINGS_MODULE", None)


def pytest_unconfigure() -> None:
    shutil.rmtree(VAR_DIR, ignore_errors=True)


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> None:
    """SQLite in files as in production: a thread or a process of a test can open them too."""
    for alias in connections:
        options = connections[alias].settings_dict
        if options["ENGINE"].endswith("sqlite3"):
            options["TEST"]["NAME"] = str(VAR_DIR / f"test-{alias}.sqlite3")


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[ValkeyServer]:
    """Listens where the settings say. Not for tests that stop or kill it: those start their own `ValkeyServer`."""
    server = ValkeyServer(VAR_DIR / "valkey", socket=settings.VALKEY_SOCKET)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def valkey_url(valkey_server: ValkeyServer) -> Iterator[str]:
    """The address of an empty server (`settings.VALKEY_NODES[0]`); whatever a test leaves there goes after it."""
    yield valkey_server.url
    valkey_server.flush()


@pytest.fixture(scope="session")
def object_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    """A bucket; a test uses a prefix of its own."""
    server = ObjectServer(tmp_path_factory.mktemp("objects"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def cast(db: None) -> SimpleNamespace:
    """The rows of `tests.cast`: `cast.acme`, `cast.globex`; `cast.alice`, … members; `cast.alice_key`, … API keys."""
    rows = SimpleNamespace()
    for company in (people.ACME, people.GLOBEX):
        tenant = Tenant.objects.create(
            id=company.id, slug=company.slug, name=company.name, store_database=company.store_database
        )
        setattr(rows, company.slug, tenant)
    for person in people.EVERYBODY:
        tenant = getattr(rows, person.company.slug)
        user = User.objects.create_user(person.username, password=person.password, id=person.id)
        member = Member.objects.create(id=person.id, tenant=tenant, user=user, role=person.role)
        key = ApiKey.objects.create(
            id=person.id, tenant=tenant, name=person.username, digest=person.digest, hint=keys.hint(person.key)
        )
        setattr(rows, person.username, member)
        setattr(rows, f"{person.username}_key", key)
    return rows
