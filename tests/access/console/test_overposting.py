"""What people post beyond a form changes nothing: no form of a tenant's console has a field that is a privilege, and a
form that is sent back with all of them saves none. Generated from the models and from the consoles' registries."""

from __future__ import annotations

from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from django.contrib.admin.utils import flatten_fieldsets
from django.db import models
from django.test import Client, RequestFactory

from access.console.tenant.place import Place
from access.console.tenant.screens import tenant_site
from access.openapi import OPERATIONS
from tenants.models import Member, Tenant, User
from tenants.roles import ROLES

# What no tenant's form or body may set, in whichever table. Of `Tenant` it is all but what people say of themselves.
PRIVILEGED = frozenset(
    {"tenant", "tenant_id", "is_superuser", "is_staff", "digest", "hint", "sealed", "sealed_key", "user_permissions",
     "groups", "password", "created_by", "created_at", "revoked_at", "last_login", "replaces", "operator",
     "result_name", "subject", "requested_by", "erased_at", "accepted_at"}
)  # fmt: skip
OF_ITSELF = frozenset(
    {
        "name",
        "time_zone",
        "at_limit",
        "budget_webhook",
        "stream_interval",
        "language",
        "summary_model",
        "profile_template",
    }
)
TENANTS = frozenset(field.name for field in Tenant._meta.concrete_fields) - OF_ITSELF
SITE = tenant_site()


def forbidden(model: type[models.Model]) -> frozenset[str]:
    return PRIVILEGED | TENANTS if model is Tenant else PRIVILEGED


class Fields(HTMLParser):
    """What a browser would send of the forms of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self._select = ""
        self._text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, given: list[tuple[str, str | None]]) -> None:
        values = dict(given)
        name = values.get("name") or ""
        if tag == "select":
            self._select = name
        elif tag == "option" and "selected" in values and self._select:
            self.found[self._select] = values.get("value") or ""
        elif tag == "textarea":
            self._text = name
            self.found.setdefault(name, "")
        elif tag == "input" and name and (values.get("type") not in ("checkbox", "radio") or "checked" in values):
            self.found[name] = values.get("value") or ""

    def handle_data(self, text: str) -> None:
        if self._text:
            self.found[self._text] += text

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self._text = ""


def request_of(cast: SimpleNamespace, role: str) -> Any:
    request = RequestFactory().get("/console/")
    request.user = User.objects.get(pk=cast.alice.user_id)
    request._console_place = Place(cast.acme, role, member=cast.alice)  # type: ignore[attr-defined]
    return request


@pytest.mark.parametrize("role", ROLES)
def test_no_form_of_a_tenants_console_has_a_privilege(cast: SimpleNamespace, valkey_url: str, role: str) -> None:
    request = request_of(cast, role)
    for model, screen in SITE._registry.items():
        row = model._default_manager.filter(tenant_id=cast.acme.pk).first() if model is not Tenant else cast.acme
        forms = [(None, screen.has_add_permission(request)), (row, screen.has_change_permission(request, row))]
        for each, may in forms:
            if not may:
                continue
            fields = flatten_fieldsets(screen.get_fieldsets(request, each))
            form = screen.get_form(request, each, change=each is not None, fields=fields)
            writable = set(form.base_fields) - set(screen.get_readonly_fields(request, each))
            assert writable & forbidden(model) == set(), (model.__name__, role)


def test_no_body_of_the_api_has_a_privilege() -> None:
    """Bodies are structs: what is no field of one is refused, or not looked at."""
    for path, found in OPERATIONS.items():
        for one in found:
            if one.body in (None, dict) or not path.startswith("/api/") or path.startswith("/api/tenants"):
                continue  # the last are the platform's operators', who take no credential of a tenant's
            fields = {field.name for field in msgspec.structs.fields(one.body)}
            allowed = {"tenant"} if path == "/api/visitors" else set()  # whose visitor somebody is to be
            privileged = PRIVILEGED | (TENANTS if path.startswith("/api/tenant") else frozenset()) - {"tenant"}
            assert (fields & privileged) - allowed - {"language"} == set(), (one.method, path)


def snapshot() -> dict[str, Any]:
    """Every privilege there is."""
    found: dict[str, Any] = {
        "tenants": list(Tenant.objects.order_by("pk").values(*TENANTS)),
        "users": list(User.objects.order_by("pk").values("pk", "is_superuser", "is_staff", "password")),
        "members": list(Member.objects.everywhere().order_by("pk").values_list("pk", "tenant_id", "role")),
    }
    for model in SITE._registry:
        if model is not Tenant:
            names = [field.attname for field in model._meta.concrete_fields if field.name in PRIVILEGED]
            rows = model._default_manager.get_queryset()
            rows = rows.everywhere() if hasattr(rows, "everywhere") else rows
            found[model.__name__] = list(rows.order_by("pk").values_list("pk", *names))
    return found


def posted(cast: SimpleNamespace, model: type[models.Model]) -> dict[str, str]:
    """Every field of the model, and every privilege, for what an attacker would want."""
    names = {field.name for field in model._meta.concrete_fields} | PRIVILEGED
    wanted = dict.fromkeys(names & (PRIVILEGED | TENANTS), "1")
    return {**wanted, "tenant": str(cast.globex.pk), "tenant_id": str(cast.globex.pk), "is_superuser": "on",
            "is_staff": "on", "digest": "0" * 64, "password": "x"}  # fmt: skip


@pytest.mark.parametrize("role", ROLES)
def test_a_form_sent_back_with_every_privilege_saves_none(cast: SimpleNamespace, valkey_url: str, role: str) -> None:
    client = Client()
    client.force_login(User.objects.get(pk=cast.alice.user_id))
    Member.objects.for_tenant(cast.acme.pk).filter(pk=cast.alice.pk).update(role=role)
    for model in SITE._registry:
        label = f"{model._meta.app_label}/{model._meta.model_name}"
        own = model._default_manager.get_queryset()
        own = own.filter(pk=cast.acme.pk) if model is Tenant else own.filter(tenant_id=cast.acme.pk)
        before = snapshot()
        for row in own:
            address = f"/console/{label}/{row.pk}/change/"
            page = client.get(address)
            shown = Fields(page.content.decode()).found if page.status_code == 200 else {}
            extra = {
                name: value for name, value in posted(cast, model).items() if name not in shown or name == "tenant"
            }
            answer = client.post(address, {**shown, **extra})
            assert answer.status_code < 500, address
        assert snapshot() == before, (label, role)
