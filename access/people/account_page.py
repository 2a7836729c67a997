"""`/accounts/`: who one is here, and in which tenants."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from access.offboarding import closing
from access.people.places import first_page, memberships
from tenants import roles
from tenants.models import Member, Role, User


@login_required
def account(request: HttpRequest) -> HttpResponse:
    return render(request, "people/account.html", described(request))


@login_required
@require_POST
def take_back(request: HttpRequest) -> HttpResponse:
    """An owner takes the closing of their tenant back."""
    number = request.POST.get("tenant", "")
    owned = Member.objects.everywhere().filter(user_id=request.user.pk, role=Role.OWNER, is_active=True)
    asked = int(number) if number.isascii() and number.isdigit() and len(number) < 19 else 0
    member = owned.filter(tenant_id=asked, tenant__closed_at__isnull=False).select_related("tenant").first()
    if member is None:
        messages.error(request, _("This tenant is not closed."))
    else:
        try:
            tenant = closing.reopen(tenant=member.tenant)
        except ValidationError as error:  # its deletion has begun
            messages.error(request, " ".join(error.messages))
            return HttpResponseRedirect(reverse("account"))
        if tenant.is_active:
            messages.success(request, _("%(tenant)s is open again.") % {"tenant": tenant.name})
        else:
            messages.warning(request, _("%(tenant)s stays, but it is suspended.") % {"tenant": tenant.name})
    return HttpResponseRedirect(reverse("account"))


@never_cache
@require_safe
def front_door(request: HttpRequest) -> HttpResponse:
    """`/`: everybody goes where they may work: a console, the chat where that is all, else their own page."""
    user = request.user
    if not isinstance(user, User):
        return HttpResponseRedirect(reverse("account_login"))
    wanted = first_page(request)
    if wanted == reverse("account") and [standing(each) for each in memberships(user)].count("chat") == 1:
        wanted = reverse("chat")
    return HttpResponseRedirect(wanted)


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
