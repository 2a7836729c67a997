"""Screens of tenants' databases: what of them may be read to answer questions."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminPasswordWidget

from access import bodies
from access.console.scoped import BY_TENANT, PlatformAdmin, PlatformForm
from engine.errors import InvalidRequest
from plugins.databases import services
from plugins.databases.catalogue import Look
from plugins.databases.failures import QueryFailed
from plugins.models import DataSource
from tenants.secrets import SealBroken

MOST_TICKED: Final = 900  # Django takes a thousand fields of a form


class DataSourceForm(PlatformForm):
    url = forms.CharField(
        label=_("Address"),
        required=False,
        max_length=1_000,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text=_(
            "Such as postgresql://reader:password@db.example.com:5432/shop?sslmode=require, mysql://… or "
            "sqlite:///shop.sqlite3. Kept encrypted and never shown. Empty: the address it has. Give it a role that "
            "may only read."
        ),
    )

    class Meta:
        model = DataSource
        fields = ["name", "tenant", "description", "enabled", "allow_private", "tables", "row_limit", "time_limit",
                  "cost_limit"]  # fmt: skip
        labels = {"allow_private": _("May be private")}
        help_texts = {
            "tables": _(
                'What may be read: [{"name": "orders", "schema": "", "description": "…", "columns": [{"name": "id", '
                '"type": "integer", "description": "…"}]}]. '
                "Once it is saved, “Read tables” above fills it in from the database."
            ),
            "description": _("What is in it, for the model."),
        }

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        if self.instance.sealed_url and "tenant" in self.changed_data and not data.get("url"):
            self.add_error("url", _("The address is sealed for the tenant the database had: enter it again."))
        elif not self.instance.sealed_url and not data.get("url"):
            self.add_error("url", _("Enter the address."))
        elif data.get("url"):
            self._check(data["url"])
        return data

    def _check(self, url: str) -> None:
        tenant = self.cleaned_data.get("tenant") or self.instance.tenant_id and self.instance.tenant
        try:
            services.checked_address(url, tenant.slug if tenant else "")
        except ValidationError as error:
            self.add_error("url", error.messages)


class DataSourceAdmin(PlatformAdmin):
    form = DataSourceForm
    by_tenant = False
    list_display = ["name", "owner", "standing", "dialect", "place", "role", "row_limit", "time_limit"]
    list_filter = ["enabled", "dialect", BY_TENANT]
    list_select_related = ["tenant"]
    search_fields = ["name", "place", "tenant__slug", "tenant__name"]
    autocomplete_fields = ["tenant"]
    actions_detail = ["test", "choose"]
    fieldsets = [
        (None, {"fields": ["name", "tenant", "description", "enabled"]}),
        (_("Where it is"), {"fields": ["url", "allow_private"]}),
        (_("What may be read"), {"fields": ["tables"]}),
        (_("Limits of one query"), {"fields": ["row_limit", "time_limit", "cost_limit"]}),
    ]

    @display(description=_("State"), ordering="enabled", label={"on": "success", "off": "danger"})
    def standing(self, source: DataSource) -> tuple[str, Any]:
        return ("on", _("in use")) if source.enabled else ("off", _("switched off"))

    @display(description=_("Role"), label={"reads": "success", "writes": "warning"})
    def role(self, source: DataSource) -> Any:
        if source.may_write is None:
            return None
        return ("writes", _("may write")) if source.may_write else ("reads", _("only reads"))

    def save_model(
        self, request: HttpRequest, obj: DataSource, form: forms.ModelForm[DataSource], change: bool
    ) -> None:
        services.save_source(source=obj, url=form.cleaned_data["url"] or None, by_tenant=self.by_tenant)

    @action(description=_("Test the connection"), icon="network_check", url_path="test", permissions=["press"])
    def test(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Says how many tables there are, and warns of a role that may write."""
        source = self.pressed(request, object_id)
        look = self._look(request, source)
        if look is not None:
            said = gettext("The database answers; it has %(count)s tables.") % {"count": len(look.tables)}
            self.message_user(request, said, "success")
        return HttpResponseRedirect(self.link("change", source.pk))

    @action(description=_("Read tables"), icon="table_view", url_path="tables", permissions=["press"])
    def choose(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """The tables and columns there are, to be ticked and described."""
        source = self.pressed(request, object_id)
        if request.method == "POST":
            try:
                source.tables = ticked(request)
                services.save_source(source=source)
                self.message_user(request, gettext("Saved."), "success")
                return HttpResponseRedirect(self.link("change", source.pk))
            except ValidationError as error:
                self.message_user(request, " ".join(error.messages), "error")
        look = self._look(request, source)
        if look is None:
            return HttpResponseRedirect(self.link("change", source.pk))
        return self.framed(
            request, "data_source_tables.html", title=_("Read tables"), tables=shown(look, source), more=look.more,
            source=source, back=self.link("change", source.pk),
        )  # fmt: skip

    def _look(self, request: HttpRequest, source: DataSource) -> Look | None:
        """Blocks for some seconds; says what went wrong."""
        try:
            look = services.look_at(services.view(source))
        except (QueryFailed, SealBroken, ValueError) as error:
            self.message_user(request, str(error), "error")
            return None
        services.looked(source, look.may_write)
        if look.may_write:
            self.message_user(
                request,
                gettext("Its role may write. Nothing is written, but give it one that may only read."),
                "warning",
            )
        return look


def shown(look: Look, source: DataSource) -> list[dict[str, Any]]:
    """For the page: each table with its columns, what of them is ticked, and what is said of them."""
    known = {(each.get("schema", ""), each["name"]): each for each in source.tables}
    tables = []
    for table in look.tables:
        kept = known.get((table.schema, table.name), {})
        described = {each["name"]: each.get("description", "") for each in kept.get("columns", ())}
        columns = [
            {
                "name": column.name,
                "type": column.type,
                "value": _value(table.schema, table.name, column.name, column.type),
                "ticked": column.name in described,
                "description": described.get(column.name) or column.description,
            }
            for column in table.columns
        ]
        about = kept.get("description") or table.description
        value = _value(table.schema, table.name)
        title = f"{table.schema}.{table.name}" if table.schema else table.name
        tables.append({"title": title, "value": value, "columns": columns, "description": about, "open": bool(kept)})
    return tables


def ticked(request: HttpRequest) -> list[Any]:
    """The tables of the page as it was sent. Raises ValidationError."""
    tables: dict[tuple[str, str], dict[str, Any]] = {}
    values = request.POST.getlist("column")
    if len(values) > MOST_TICKED:
        raise ValidationError(_("At most %(most)s columns at once."), params={"most": MOST_TICKED})
    for value in values:
        schema, name, column, kind = _parts(value, 4)
        table = tables.setdefault(
            (schema, name),
            {"name": name, "schema": schema, "description": request.POST.get(_value(schema, name), "")[:500],
             "columns": []},
        )  # fmt: skip
        said = request.POST.get(f"about:{value}", "")[:500]
        table["columns"].append({"name": column, "type": kind, "description": said})
    return list(tables.values())


def _value(*parts: str) -> str:
    return msgspec.json.encode(parts).decode()


def _parts(value: str, count: int) -> list[str]:
    try:
        parts = bodies.part(value)
    except InvalidRequest:
        parts = None
    if not isinstance(parts, list) or len(parts) != count or not all(isinstance(part, str) for part in parts):
        raise ValidationError(_("That is no column of this page."))
    return parts
