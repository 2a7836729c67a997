"""PostgreSQL keeps tenants apart by itself: with the first wall taken away nothing of another tenant comes through."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
from django.core.management import call_command
from django.db import DatabaseError, ProgrammingError, connection, connections, models, transaction
from django.http import HttpRequest
from django.template.response import SimpleTemplateResponse
from django.test import RequestFactory

from access.console.tenant.place import Place
from access.console.tenant.site import TenantSite
from access.management.rows import Rows
from clawdbot_site import checks, row_security
from tenants import walls
from tenants.models import ApiKey, IpRule, Member, Tenant, User
from tenants.scoping import ScopedQuerySet
from tests.clawdbot_site import walled
from tests.clawdbot_site.walled import ACME, GLOBEX, alias_of
from tests.conftest import VAR_DIR
from tests.services.postgres import PostgresServer

pytestmark = pytest.mark.timeout(300)  # two servers, each with every migration
SCOPED = walled.scoped()


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    server = PostgresServer(Path(tempfile.mkdtemp(prefix="walled-", dir=VAR_DIR)), options=["-c", "fsync=off"])
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def filled(server: PostgresServer, django_db_blocker) -> dict[str, str]:
    addresses = walled.prepared(server, "filled")
    with django_db_blocker.unblock(), walled.pointed(addresses):
        walled.migrate()
        walled.fill()
    return addresses


@pytest.fixture
def databases(filled: dict[str, str], django_db_blocker) -> Iterator[dict[str, str]]:
    with django_db_blocker.unblock(), walled.pointed(filled):
        yield filled


@pytest.fixture
def careless(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first wall is gone: any query runs, scoped or not."""
    monkeypatch.setattr(ScopedQuerySet, "_check", lambda self: None)


def everything(model: type[models.Model]) -> set[int | None]:
    """Whose rows a query without any filter finds."""
    return set(model._base_manager.using(alias_of(model)).values_list("tenant_id", flat=True))


def role_of(alias: str) -> str:
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT current_user::text")
        return str(cursor.fetchone()[0])


def test_it_uses_a_role_that_no_privilege_lifts_over_the_policies(databases: dict[str, str]) -> None:
    for alias in walled.ALIASES:
        with walls.within(ACME), connections[alias].cursor() as cursor:
            cursor.execute(
                "SELECT rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolcanlogin FROM pg_roles"
                " WHERE rolname = current_user"
            )
            assert cursor.fetchone() == (walls.ROLE, False, False, False, False, False)
            cursor.execute("SELECT count(*) FROM pg_class WHERE pg_get_userbyid(relowner) = current_user")
            assert cursor.fetchone() == (0,)
            cursor.execute(
                "SELECT count(*) FROM pg_auth_members WHERE member = (SELECT oid FROM pg_roles WHERE rolname = %s)",
                [walls.ROLE],
            )
            assert cursor.fetchone() == (0,)
        assert role_of(alias) == "product"


def test_it_binds_every_table_of_tenants_and_the_owner_too(databases: dict[str, str]) -> None:
    assert len(SCOPED) > 25
    for model in [*SCOPED, Tenant, User]:
        with connections[alias_of(model)].cursor() as cursor:
            cursor.execute(
                "SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = %s::regclass",
                [model._meta.db_table],
            )
            assert cursor.fetchone() == (True, True), model
    assert [row_security.problems(alias) for alias in walled.ALIASES] == [[], []]


@pytest.mark.parametrize("model", SCOPED, ids=lambda model: model.__name__)
def test_it_shows_a_careless_query_one_tenants_rows(databases: dict[str, str], careless: None, model) -> None:
    assert everything(model) >= {ACME, GLOBEX}
    for tenant_id in (ACME, GLOBEX):
        with walls.within(tenant_id):
            assert everything(model) == {tenant_id}
    with walls.within(99):
        assert everything(model) == set()


@pytest.mark.parametrize("model", SCOPED, ids=lambda model: model.__name__)
def test_it_changes_nothing_of_another_tenant(databases: dict[str, str], careless: None, model) -> None:
    alias = alias_of(model)
    rows = model._base_manager.using(alias)
    name = rows.values_list("tenant_id", flat=True)
    before = sorted(name)
    with connections[alias].cursor() as cursor:
        for statement in (
            f"UPDATE {model._meta.db_table} SET tenant_id = tenant_id WHERE tenant_id = {GLOBEX}",
            f"UPDATE {model._meta.db_table} SET tenant_id = {ACME} WHERE tenant_id = {GLOBEX}",
            f"DELETE FROM {model._meta.db_table} WHERE tenant_id = {GLOBEX}",
        ):
            with walls.within(ACME):
                try:
                    cursor.execute(statement)
                except ProgrammingError as error:
                    assert "permission denied" in str(error)
                else:
                    assert cursor.rowcount == 0
        moved = f"UPDATE {model._meta.db_table} SET tenant_id = {GLOBEX} WHERE tenant_id = {ACME}"
        with walls.within(ACME), pytest.raises(ProgrammingError, match="row-level security|permission denied"):
            cursor.execute(moved)
    theirs = rows.filter(tenant_id=GLOBEX).first()
    theirs.pk = walled.row_of(model, GLOBEX, {}).pk if isinstance(model._meta.pk, models.CharField) else None
    with walls.within(ACME), pytest.raises((ProgrammingError, DatabaseError), match="row-level|permission denied"):
        rows.bulk_create([theirs])
    assert sorted(name.all()) == before


def test_it_shows_the_people_of_one_tenant(databases: dict[str, str]) -> None:
    whose = {member.tenant_id: member.user for member in Member.objects.everywhere().select_related("user")}
    User.objects.filter(pk=whose[ACME].pk).update(is_superuser=False, is_staff=False)
    with walls.within(ACME):
        assert whose[ACME].username in walled.people()
        assert whose[GLOBEX].username not in walled.people()
        assert User.objects.filter(pk=whose[GLOBEX].pk).update(language="en") == 0
        with pytest.raises(ProgrammingError, match="row-level security"):
            User.objects.filter(pk=whose[ACME].pk).update(is_superuser=True)
        assert list(Tenant.objects.values_list("pk", flat=True)) == [ACME]
        with pytest.raises(ProgrammingError, match="permission denied"):
            Tenant.objects.filter(pk=ACME)._raw_delete("default")
    with walls.within(ACME), walls.lifted():
        assert Tenant.objects.count() == 2


def test_it_lets_the_platforms_shared_rows_be_seen_but_not_changed(databases: dict[str, str], careless: None) -> None:
    from routing.models import ModelInstance  # noqa: PLC0415

    shared = ModelInstance(name="shared", adapter="echo")
    ModelInstance._base_manager.bulk_create([shared])
    with walls.within(ACME):
        assert everything(ModelInstance) == {ACME, None}
        assert ModelInstance._base_manager.filter(tenant=None).update(weight=9) == 0
    ModelInstance._base_manager.filter(tenant=None).delete()


def test_it_leaves_nothing_of_a_request_to_the_next_one(databases: dict[str, str], careless: None) -> None:
    count = IpRule._base_manager.count

    def failing(kind: str) -> None:
        with walls.within(ACME):
            if kind == "plain":
                IpRule._base_manager.create(tenant_id=GLOBEX, network="10.9.9.9")
            with transaction.atomic():
                assert count() == 1
                if kind == "nested":
                    with transaction.atomic():
                        IpRule._base_manager.create(tenant_id=GLOBEX, network="10.9.9.9")
                if kind == "timeout":
                    with connection.cursor() as cursor:
                        cursor.execute("SET LOCAL statement_timeout = 50")
                        cursor.execute("SELECT pg_sleep(5)")
                raise DatabaseError("on purpose")

    for kind in ("plain", "nested", "timeout", "raised"):
        with pytest.raises(DatabaseError):
            failing(kind)
        with walls.within(GLOBEX):
            assert (count(), everything(IpRule)) == (1, {GLOBEX}), kind
        assert (role_of("default"), count()) == ("product", 2), kind


def test_it_stays_where_it_is_after_what_was_rolled_back(databases: dict[str, str], careless: None) -> None:
    """PostgreSQL takes the role back with the transaction it was taken in."""
    with walls.within(ACME):
        with pytest.raises(RuntimeError), transaction.atomic():
            assert everything(IpRule) == {ACME}
            raise RuntimeError
        assert everything(IpRule) == {ACME}
        with transaction.atomic():
            with pytest.raises(RuntimeError), transaction.atomic():
                assert everything(IpRule) == {ACME}
                raise RuntimeError
            assert everything(IpRule) == {ACME}
            with walls.within(GLOBEX), pytest.raises(RuntimeError), transaction.atomic():
                assert everything(IpRule) == {GLOBEX}
                raise RuntimeError
            assert everything(IpRule) == {ACME}
        with transaction.atomic():
            try:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT 1 / 0")
            except DatabaseError:
                pass  # a commit that rolls back
            connection.needs_rollback = False
        assert everything(IpRule) == {ACME}
    assert everything(IpRule) == {ACME, GLOBEX}


def test_it_says_who_asks_once_for_requests_of_one_tenant(databases: dict[str, str], monkeypatch) -> None:
    said: list[int | None] = []
    stand_for = type(connections["default"])._stand_for

    def counted(self, tenant_id):
        said.append(tenant_id)
        stand_for(self, tenant_id)

    monkeypatch.setattr(type(connections["default"]), "_stand_for", counted)
    for tenant_id in (ACME, ACME, ACME, GLOBEX, GLOBEX, None, None):
        with walls.within(tenant_id):
            Tenant.objects.count()
    assert said == [ACME, GLOBEX, None]


async def test_it_stands_around_the_work_of_the_management_api(databases: dict[str, str], careless: None) -> None:
    rows = Rows(1)
    try:
        for tenant_id in (ACME, GLOBEX):
            walls.become(tenant_id)
            assert await rows.run(lambda: everything(ApiKey)) == {tenant_id}
        walls.become(None)
        assert await rows.run(lambda: everything(ApiKey)) == {ACME, GLOBEX}
    finally:
        walls.become(None)
        threading.Thread(target=rows.close).start()


def test_it_stands_around_a_consoles_pages_down_to_their_rendering(databases: dict[str, str], careless: None) -> None:
    for tenant_id in (ACME, GLOBEX):
        request = RequestFactory().get("/console/")
        request._console_place = Place(Tenant(id=tenant_id), "owner")  # type: ignore[attr-defined]
        request.user = User(username="walled", language="en")
        seen: list[set[int | None]] = []

        def view(request: HttpRequest, seen: list[set[int | None]] = seen) -> SimpleTemplateResponse:
            seen.append(everything(ApiKey))
            page = SimpleTemplateResponse("tenant/index.html")
            page.resolve_template = lambda names: SimpleNamespace(  # type: ignore[method-assign]
                render=lambda context, request: seen.append(everything(IpRule)) or ""
            )
            return page

        assert TenantSite().admin_view(view)(request).is_rendered
        assert seen == [{tenant_id}, {tenant_id}]
        assert walls.current() is None and everything(ApiKey) == {ACME, GLOBEX}


def test_it_is_made_once(databases: dict[str, str]) -> None:
    assert [row_security.apply(alias) for alias in walled.ALIASES] == [[], []]
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE tenants_apikey NO FORCE ROW LEVEL SECURITY")
    assert any("tenants_apikey" in problem for problem in row_security.problems("default"))
    with pytest.raises(SystemExit):
        call_command("rowsecurity", check=True)
    assert row_security.apply("default") == ["tenants_apikey"]
    call_command("rowsecurity", check=True)


def test_it_says_so_where_it_may_not_make_the_role(django_db_blocker) -> None:
    """A database whose owner may not; the product works, behind one wall."""
    other = PostgresServer(Path(tempfile.mkdtemp(prefix="poor-", dir=VAR_DIR)), options=["-c", "fsync=off"])
    other.start()
    try:
        addresses = walled.prepared(other, "poor", role="poor", options="NOCREATEROLE")
        with django_db_blocker.unblock(), walled.pointed(addresses):
            walled.migrate()
            assert [len(row_security.problems(alias)) for alias in walled.ALIASES] == [1, 1]
            assert {problem.id for problem in checks.second_wall()} == {"clawdbot.W012"}
            with walls.within(ACME):
                assert Tenant.objects.count() == 0
            assert role_of("default") == "poor"
        with psycopg.connect(other.url, autocommit=True) as admin:
            admin.execute(f"CREATE ROLE {walls.ROLE} NOLOGIN")
            admin.execute(f"GRANT {walls.ROLE} TO poor")
        with django_db_blocker.unblock(), walled.pointed(addresses):
            call_command("rowsecurity")
            assert checks.second_wall() == []
        with (
            django_db_blocker.unblock(),
            walled.pointed({alias: url.replace("poor@", "clawdbot@") for alias, url in addresses.items()}),
        ):
            assert {problem.id for problem in checks.second_wall()} == {"clawdbot.W013"}
            with psycopg.connect(other.url, autocommit=True) as admin:
                admin.execute(f"ALTER ROLE {walls.ROLE} BYPASSRLS")
            assert any("BYPASSRLS" in problem for problem in row_security.problems("default"))
    finally:
        other.kill()
