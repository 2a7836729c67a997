"""`/accounts/`: who one is here, and in which tenants."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from access.people.places import memberships
from tenants import roles
from tenants.models import Member, User


@login_required
def account(request: HttpRequest) -> HttpResponse:
    return render(request, "people/account.html", described(request))


def closed_door(request: HttpRequest) -> HttpResponse:
    """Instead of a console that somebody who has signed in may not open: why not, and where else to go."""
    return render(request, "people/closed_door.html", described(request), status=403)


def described(request: HttpRequest) -> dict[str, object]:
    user = request.user
    assert isinstance(user, User)
    places = [{"member": member, "standing": standing(member)} for member in memberships(user)]
    return {"places": places, "opens": any(place["standing"] == "open" for place in places)}


def standing(member: Member) -> str:
    """`open` or `chat` is what they may; else why they may not: `closed`, `suspended` (both the tenant), `off`."""
    if member.tenant.closed_at is not None:
        return "closed"
    if not member.tenant.is_active:
        return "suspended"
    if not member.is_active:
        return "off"
    return "open" if roles.may(member.role, "overview") else "chat"
