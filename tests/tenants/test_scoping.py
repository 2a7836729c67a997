from types import SimpleNamespace

import pytest
from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import connection, models, transaction
from django.db.models import Count, Q

from tenants.models import ApiKey, IpRule, Job, Member
from tenants.scoping import TenantScopedModel, Unscoped

UNSCOPED = {
    "list": list,
    "get": lambda rows: rows.get(pk=1),
    "first": lambda rows: rows.first(),
    "count": lambda rows: rows.count(),
    "exists": lambda rows: rows.exists(),
    "contains": lambda rows: rows.contains(Member(pk=1)),
    "update": lambda rows: rows.update(role="owner"),
    "delete": lambda rows: rows.delete(),
    "aggregate": lambda rows: rows.aggregate(n=Count("id")),
    "iterator": lambda rows: list(rows.iterator()),
    "in_bulk": lambda rows: rows.in_bulk([1, 2]),
    "values": lambda rows: list(rows.values("id")),
    "values_list": lambda rows: list(rows.values_list("id", flat=True)),
    "slice": lambda rows: rows[:1][0],
    "earliest": lambda rows: rows.earliest("id"),
    "get_or_create": lambda rows: rows.get_or_create(pk=1),
    "bulk_update": lambda rows: rows.bulk_update([Member(pk=1, role="owner")], ["role"]),
}
ESCAPES = {
    "pk": lambda rows: rows.filter(pk=1),
    "or": lambda rows: rows.filter(Q(tenant_id=1) | Q(pk=3)),
    "not": lambda rows: rows.exclude(tenant_id=1),
    "not_null": lambda rows: rows.filter(tenant__isnull=False),
    "range": lambda rows: rows.filter(tenant_id__gt=0),
    "slug": lambda rows: rows.filter(tenant__slug__contains="a"),
    "xor": lambda rows: rows.filter(Q(tenant_id=1) ^ Q(pk=3)),
    "union": lambda rows: rows.filter(tenant_id=1).union(rows.all()),
    "joined": lambda rows: rows.filter(tenant_id=1) | rows.filter(pk=3),
}


@pytest.fixture
def library(transactional_db, cast):
    """Two more models, one hanging on the other, that nobody else gets to see."""

    class Folder(TenantScopedModel):
        name = models.CharField(max_length=20)

        class Meta:
            app_label = "tenants"
            constraints = [models.UniqueConstraint(fields=["tenant", "name"], name="folder_once")]

        def __str__(self):
            return self.name

    class Page(TenantScopedModel):
        folder = models.ForeignKey(Folder, on_delete=models.CASCADE, related_name="pages")
        number = models.IntegerField(default=0)

        class Meta:
            app_label = "tenants"

        def __str__(self):
            return str(self.number)

    with connection.schema_editor() as editor:
        editor.create_model(Folder)
        editor.create_model(Page)
    yield SimpleNamespace(Folder=Folder, Page=Page)
    with connection.schema_editor() as editor:
        editor.delete_model(Page)
        editor.delete_model(Folder)
    for name in ("folder", "page"):
        del apps.all_models["tenants"][name]
    apps.clear_cache()


@pytest.mark.parametrize("name", UNSCOPED)
def test_it_refuses_a_query_that_names_no_tenant(cast, name):
    with pytest.raises(Unscoped, match="Member"), transaction.atomic():
        UNSCOPED[name](Member.objects.all())
    assert Member.objects.everywhere().count() == 3


@pytest.mark.parametrize("name", UNSCOPED)
@pytest.mark.parametrize("scope", [lambda: Member.objects.everywhere(), lambda: Member.objects.for_tenant(1)])
def test_it_runs_the_same_query_once_it_is_scoped(cast, name, scope):
    try:
        UNSCOPED[name](scope())
    except Member.DoesNotExist:
        pytest.fail("the row is there")


async def test_it_refuses_asynchronous_iteration_too():
    with pytest.raises(Unscoped):
        async for _ in Member.objects.all():
            pass
    with pytest.raises(Unscoped):
        async for _ in Member.objects.all().aiterator():
            pass


@pytest.mark.parametrize("name", ESCAPES)
def test_it_is_not_satisfied_by_a_condition_that_other_tenants_can_meet(cast, name):
    with pytest.raises(Unscoped):
        list(ESCAPES[name](Member.objects.all()))


def test_it_shows_charlie_nothing_of_alice_and_bob(cast):
    assert [str(member.user) for member in Member.objects.for_tenant(cast.acme.id)] == ["alice", "bob"]
    assert [str(member.user) for member in Member.objects.for_tenant(cast.globex.id)] == ["charlie"]
    assert not ApiKey.objects.for_tenant(cast.globex.id).filter(pk=cast.alice_key.pk).exists()
    with pytest.raises(ApiKey.DoesNotExist):
        ApiKey.objects.for_tenant(cast.globex.id).get(pk=cast.bob_key.pk)


def test_it_accepts_the_tenant_by_row_by_id_and_in_every_branch_of_an_or(cast):
    assert Member.objects.filter(tenant=cast.acme).count() == 2
    assert Member.objects.filter(tenant_id=cast.acme.id, role="owner").count() == 1
    assert Member.objects.filter(Q(tenant=cast.acme, role="owner") | Q(tenant=cast.globex)).count() == 2
    assert Member.objects.filter(tenant__in=[cast.acme]).exclude(pk=1).get().pk == 2
    assert list(Member.objects.none()) == []


def test_it_shows_a_tenant_the_platforms_rows_where_there_are_such(cast):
    for tenant_id in (None, cast.acme.id, cast.globex.id):
        Job.objects.create(tenant_id=tenant_id, kind="export")
    assert {job.tenant_id for job in Job.objects.visible_to(cast.acme.id)} == {None, cast.acme.id}


def test_it_follows_relations_from_a_row_of_the_tenant(library, cast):
    folder = library.Folder.objects.create(tenant=cast.acme, name="a")
    folder.pages.create(tenant=cast.acme, number=1)
    assert folder.pages.get().number == 1
    assert folder.pages.filter(number=1).count() == 1
    [fetched] = library.Folder.objects.for_tenant(1).prefetch_related("pages")
    assert [page.number for page in fetched.pages.all()] == [1]
    with pytest.raises(Unscoped):
        list(folder.pages.all() | library.Page.objects.filter(number=1))
    with pytest.raises(Unscoped):
        library.Page.objects.filter(folder=folder).count()  # whose folder is it?


def test_it_does_not_take_a_person_for_a_scope(cast):
    with pytest.raises(Unscoped):
        list(cast.alice.user.memberships.all())
    assert cast.alice.user.memberships.everywhere().get() == cast.alice
    assert cast.alice.user.memberships.for_tenant(cast.globex.id).first() is None


def test_it_lets_rows_be_validated_saved_refreshed_and_deleted(library, cast):
    folder = library.Folder(tenant=cast.acme, name="a")
    folder.full_clean()
    folder.save()
    folder.refresh_from_db()
    library.Folder(tenant=cast.globex, name="a").full_clean()
    with pytest.raises(ValidationError, match="already exists"):
        library.Folder(tenant=cast.acme, name="a").full_clean()
    folder.delete()
    assert not library.Folder.objects.everywhere().exists()


def test_it_validates_the_shipped_models_as_forms_do(cast):
    IpRule.objects.create(tenant=cast.acme, network="10.0.0.0/8")
    IpRule(tenant=cast.globex, network="10.0.0.0/8").full_clean()
    with pytest.raises(ValidationError, match="already exists"):
        IpRule(tenant=cast.acme, network="10.0.0.0/8").full_clean()
    with pytest.raises(ValidationError, match="already exists"):
        Member(tenant=cast.acme, user=cast.bob.user, role="admin").full_clean()


def test_it_deletes_a_tenant_with_all_that_is_its_own(cast):
    cast.acme.delete()
    assert [member.pk for member in Member.objects.everywhere()] == [3]
    assert [key.pk for key in ApiKey.objects.everywhere()] == [3]
