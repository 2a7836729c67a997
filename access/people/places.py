"""Where a person who signed in goes."""

from __future__ import annotations

from django.http import HttpRequest
from django.urls import reverse

from access.console.tenant.place import places
from access.people import invited
from tenants.models import Member, User


def first_page(request: HttpRequest) -> str:
    """An invitation first, then the console they may open; else their own page."""
    secret = request.session.get(invited.KEPT)
    if isinstance(secret, str) and invited.waiting(request) is not None:
        return reverse("invitation", args=[secret])
    if getattr(request.user, "is_superuser", False):
        return reverse("admin:index")
    return reverse("console:index") if places(request) else reverse("account")


def memberships(user: User) -> list[Member]:
    """Every place of theirs, also where nobody is let in at present, by the tenants' names."""
    members = Member.objects.everywhere().filter(user=user).select_related("tenant")
    return list(members.order_by("tenant__name", "pk"))
