"""A session's page: what was said, its versions and snapshots, the ways back. What is done there is in the journal with
the operator who did it."""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec
from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminTextInputWidget

from access.console.bridge import EngineBridge, SessionParts
from access.console.reach import Reach
from access.console.recorded_turn import moment, moment_here, spoken
from access.console.sessions import FindForm, acting_for, address, asked, named, sessions_of
from engine.errors import EngineError
from engine.types import Json, Message, Principal
from tenants.models import Tenant

SHOWN: Final = 50  # versions, and snapshots, on a page
ACTIONS: Final = {
    "turn": gettext_lazy("Turn"),
    "patched": gettext_lazy("Changed"),
    "restored": gettext_lazy("Restored"),
    "branched": gettext_lazy("Branched"),
    "summarised": gettext_lazy("Summed up"),
    "unsummarised": gettext_lazy("Summary removed"),
    "withdrawn": gettext_lazy("Answer withdrawn"),
}


class CompareForm(forms.Form):
    """Sent by GET, with what names the session."""

    field_order = ["from", "to"]

    def __init__(self, latest: int, given: Any) -> None:
        super().__init__(initial={"from": given.get("from") or max(1, latest - 1), "to": given.get("to") or latest})
        for name, label in (("from", _("From version")), ("to", _("to version"))):
            widget = UnfoldAdminTextInputWidget(attrs={"autocomplete": "off", "inputmode": "numeric"})
            self.fields[name] = forms.CharField(label=label, required=False, max_length=32, widget=widget)


class SnapshotForm(forms.Form):
    name = forms.CharField(label=_("Name"), required=False, max_length=100, widget=UnfoldAdminTextInputWidget)


class Shown:
    """One session as somebody of a console asks for it."""

    def __init__(
        self, reach: Reach, bridge: EngineBridge, parts: SessionParts, *, who: Principal, tenant: Tenant, name: str
    ) -> None:
        self.reach = reach
        self.bridge = bridge
        self.parts = parts
        self.who = who
        self.tenant = tenant
        self.name = name

    def page(self, query: Any, problem: str = "") -> dict[str, Any]:
        read = self._ask(self.parts.desk.read(self.who, self.name))
        versions = self._ask(self.parts.versions.list(self.who, self.name, SHOWN, _number(query.get("before"))))
        snapshots = self._ask(self.parts.snapshots.list(self.who, self.name, SHOWN, query.get("cursor") or None))
        version, difference = read, None
        try:
            if at := query.get("at"):
                version = self._ask(self.parts.versions.read(self.who, self.name, _place(at)))
            if origin := query.get("from"):
                until = query.get("to")
                difference = self._ask(
                    self.parts.versions.diff(self.who, self.name, _place(origin), _place(until) if until else None)
                )
        except EngineError as error:
            problem = f"{error.message} ({error.code})"
        return {
            "form": SnapshotForm(),
            "compare": CompareForm(read["version"], query),
            "named": named(self.reach, self.tenant, self.who.user, self.name),
            "may_change": self.reach.may("sessions", "change"),
            "home": self.address(),
            "problem": problem,
            "session_id": self.name,
            "version": version["version"],
            "past": version["state"] == "past",
            "facts": self._facts(read),
            "spoken": [spoken(msgspec.convert(message, Message)) for message in version["context_stack"]],
            "versions": [self._version(line, read["version"]) for line in versions["versions"]],
            "older": self.address(before=versions["next"]) if versions["next"] else None,
            "snapshots": [self._snapshot(each) for each in snapshots["snapshots"]],
            "older_snapshots": self.address(cursor=snapshots["next_cursor"]) if snapshots["next_cursor"] else None,
            "difference": _difference(difference) if difference is not None else None,
        }

    def do(self, posted: Any) -> tuple[str, str]:
        """What was done, and where to go on. Raises EngineError."""
        action, place = posted.get("do"), _place(posted.get("place", ""))
        if action == "restore":
            made = self._ask(self.parts.versions.restore(self.who, self.name, place, None))
            return _("Restored; the session is at version %(version)s.") % made, self.address()
        if action == "branch":
            made = self._ask(self.parts.versions.branch(self.who, self.name, place, None))
            told = _("This is the branch: a session of its own.")
            return told, address(self.reach, self.tenant, self.who.user, made["session_id"])
        if action == "snapshot":
            form = SnapshotForm(posted)
            name = form.cleaned_data["name"] if form.is_valid() else ""
            self._ask(self.parts.snapshots.make(self.who, self.name, name, []))
            return _("The snapshot is made."), self.address()
        if action == "delete":
            self._ask(self.parts.desk.delete(self.who, self.name))
            told = _("Session %(name)s is deleted.") % {"name": self.name}
            return told, home(self.reach, self.tenant)
        return _("Nothing was done."), self.address()

    def address(self, **more: Any) -> str:
        return address(self.reach, self.tenant, self.who.user, self.name, **more)

    def _ask(self, work: Any) -> Any:
        return asked(self.bridge, work)

    def _facts(self, read: Json) -> list[tuple[Any, Any]]:
        metadata = read["metadata"]
        facts = [
            (_("Session"), self.name),
            (_("Name"), read.get("name", "")),
            (_("Tenant"), self.tenant),
            (_("User"), self.who.user),
            (_("Version"), read["version"]),
            (_("Last active"), moment_here(metadata["last_active"])),
            (_("Version of the model"), metadata["model_version"]),
            (_("Profile"), json.dumps(read["user_profile"], ensure_ascii=False) if read["user_profile"] else ""),
            (_("Pinned messages"), ", ".join(f"{turn}.{message}" for turn, message in read.get("pinned", []))),
            (_("Snapshots"), metadata.get("snapshots", "")),
            (_("Summaries"), len(metadata.get("layers", [])) or ""),
        ]
        return [(name, value) for name, value in facts if value not in ("", None)]

    def _version(self, line: Json, now: int) -> Json:
        number, turn = line["version"], line["action"] == "turn"
        of = line.get("of", {})
        notes = [
            _("%(count)s messages") % {"count": line["messages"]} if turn else "",
            ", ".join(line.get("changed", [])),
            _("from version %(version)s") % of if of else "",
            of.get("session_id", ""),
        ]
        return {
            **line,
            "moment": moment(line["at"]),
            "what": ACTIONS.get(line["action"], line["action"]),
            "note": " ".join(note for note in notes if note),
            "now": number == now,
            "read": self.address(at=number),
            "compare": self.address(**{"from": number}),
            "turn": self._turn(line["turn_id"]) if turn else "",
        }

    def _turn(self, turn_id: str) -> str:
        return self.reach.address("compliance_auditentry_change", turn_id) if self.reach.may("journal") else ""

    def _snapshot(self, each: Json) -> Json:
        links = {"read": self.address(at=each["id"]), "compare": self.address(**{"from": each["id"]})}
        return {**each, **links, "moment": moment(each["at"]), "tags": ", ".join(each["tags"])}


def home(reach: Reach, tenant: Tenant) -> str:
    """The list of sessions."""
    listed = reach.address("sessions")
    return listed if reach.tenant is not None else f"{listed}?tenant={tenant.slug}"


def session_view(request: HttpRequest, reach: Reach) -> dict[str, Any] | HttpResponse:
    """For the template `console/session.html`, or where to go instead. Raises PermissionDenied."""
    form = FindForm(request.GET, only=reach.tenant)
    if request.method == "POST":
        reach.demand("sessions")
    if not form.is_valid() or not form.cleaned_data["session"] or not form.cleaned_data["user"]:
        return HttpResponseRedirect(reach.address("sessions"))
    data = form.cleaned_data
    tenant: Tenant = data["tenant"]
    try:
        bridge, parts = sessions_of(request)
        who = acting_for(reach, tenant, data["user"])
        shown = Shown(reach, bridge, parts, who=who, tenant=tenant, name=data["session"])
        problem = ""
        if request.method == "POST":
            try:
                told, where = shown.do(request.POST)
            except EngineError as error:
                problem = f"{error.message} ({error.code})"
            else:
                messages.success(request, told)
                return HttpResponseRedirect(where)
        return shown.page(request.GET, problem)
    except EngineError as error:
        messages.error(request, f"{error.message} ({error.code})")
        return HttpResponseRedirect(home(reach, tenant))


def _difference(found: Json) -> Json:
    said, profile = found["messages"], found["user_profile"]
    facts = [(name, _json(pair["before"]), _json(pair["after"])) for name, pair in found["settings"].items()]
    facts += [(f"user_profile.{name}", "", _json(value)) for name, value in profile.get("added", {}).items()]
    facts += [(f"user_profile.{name}", _json(value), "") for name, value in profile.get("removed", {}).items()]
    facts += [
        (f"user_profile.{name}", _json(pair["before"]), _json(pair["after"]))
        for name, pair in profile.get("changed", {}).items()
    ]
    if found["system"]:
        facts.append(("system", _texts(found["system"]["before"]), _texts(found["system"]["after"])))
    shown = {"removed": _said(said["removed"]), "added": _said(said["added"]), "facts": facts}
    return {**said, **shown, "from": found["from"], "to": found["to"]}


def _said(found: list[Json]) -> list[Any]:
    return [spoken(msgspec.convert(each, Message)) for each in found]


def _texts(found: list[Json]) -> str:
    return "\n".join(each.text for each in _said(found))


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _number(given: str | None) -> int | None:
    return int(given) if given and given.isascii() and given.isdigit() and len(given) <= 15 else None


def _place(given: str) -> int | str:
    return given if (number := _number(given)) is None else number
