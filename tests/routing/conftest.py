"""The two tenants of the cast without their people: hashing passwords is what makes those slow."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tenants.models import Tenant
from tests import cast as people


@pytest.fixture
def companies(db: None) -> SimpleNamespace:
    """`companies.acme` is Alice's and Bob's, `companies.globex` Charlie's."""
    return SimpleNamespace(
        **{
            company.slug: Tenant.objects.create(
                id=company.id, slug=company.slug, name=company.name, store_database=company.store_database
            )
            for company in (people.ACME, people.GLOBEX)
        }
    )
