"""The journal's tables live in the journal's database, and nothing else does."""

from django.db import connections

from compliance.database import JOURNAL_MODELS, JournalRouter
from compliance.models import AuditEntry, JournalWorker
from tenants.models import Tenant

OURS = {f"compliance_{name}" for name in JOURNAL_MODELS}


def tables(alias):
    return set(connections[alias].introspection.table_names())


def test_it_keeps_the_journal_apart(db):
    assert tables("journal") - {"django_migrations"} == OURS
    assert not tables("default") & OURS
    assert "tenants_tenant" in tables("default")


def test_it_routes_reads_and_relations():
    router = JournalRouter()
    assert {router.db_for_read(model) for model in (AuditEntry, JournalWorker)} == {"journal"}
    assert router.db_for_write(AuditEntry) == "journal"
    assert router.db_for_read(Tenant) is None
    assert router.allow_relation(AuditEntry(), Tenant()) is False
    assert router.allow_relation(Tenant(), Tenant()) is None


def test_it_migrates_data_of_the_journal_only_there():
    router = JournalRouter()
    assert router.allow_migrate("journal-3", "compliance", "auditentry")
    assert not router.allow_migrate("default", "compliance", "auditentry")
    assert not router.allow_migrate("journal", "tenants", "tenant")
    assert not router.allow_migrate("journal", "tenants")
    assert router.allow_migrate("journal", "compliance", journal=True)
    assert not router.allow_migrate("default", "compliance", journal=True)
