from itertools import product

import pytest

from tenants import roles
from tenants.models import Role


def test_it_knows_every_role_of_the_database_and_no_other():
    assert set(roles.ROLES) == set(Role.values)


@pytest.mark.parametrize(("role", "area"), product(roles.ROLES, roles.AREAS))
def test_whoever_may_change_may_read(role, area):
    assert roles.may(role, area) or not roles.may(role, area, "change")


def test_members_open_no_console_and_auditors_change_nothing_but_exports():
    assert not any(roles.may("member", area) for area in roles.AREAS)
    assert [area for area in roles.AREAS if roles.may("auditor", area, "change")] == ["exports"]


def test_an_unknown_area_is_a_mistake_of_the_program_and_an_unknown_role_may_nothing():
    with pytest.raises(KeyError):
        roles.may("owner", "nonsense")
    assert not roles.may("nonsense", "overview")


@pytest.mark.parametrize(
    ("role", "granted", "may"),
    [
        ("owner", "owner", True),
        ("admin", "admin", True),
        ("admin", "owner", False),
        ("admin", "nonsense", False),
        ("developer", "member", False),
        ("auditor", "member", False),
    ],
)
def test_nobody_makes_anybody_more_than_they_are(role, granted, may):
    assert roles.may_grant(role, granted) is may


def test_a_key_without_manage_or_audit_has_no_area():
    assert [roles.role_of_key(scopes) for scopes in (["chat"], ["audit"], ["audit", "manage"])] == [
        "member",
        "auditor",
        "admin",
    ]


@pytest.mark.parametrize(
    ("role", "scopes", "may"),
    [
        ("owner", ["chat", "manage", "audit", "sessions"], True),
        ("admin", ["manage"], True),
        ("developer", [], True),
        ("developer", ["chat", "sessions"], True),
        ("developer", ["audit"], False),
        ("developer", ["chat", "manage"], False),
        ("auditor", [], False),
        ("auditor", ["audit"], False),
        ("member", ["chat"], False),
        ("nonsense", [], False),
    ],
)
def test_no_key_may_do_what_its_maker_may_not(role, scopes, may):
    assert roles.may_give(role, scopes) is may
