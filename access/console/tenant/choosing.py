"""Which of their tenants' consoles a person opens, and in which language."""

from __future__ import annotations

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminSelectWidget

from access.console.frame import ConsoleSite
from access.console.tenant.place import CHOSEN, place_of, places
from access.people import languages
from tenants import walls
from tenants.models import Member, User


class LanguageForm(forms.Form):
    language = forms.ChoiceField(
        label=gettext_lazy("Language"),
        required=False,
        choices=[("", gettext_lazy("as the browser says")), *settings.LANGUAGES],
        widget=UnfoldAdminSelectWidget,
        help_text=gettext_lazy("Of your consoles and mails, in every tenant."),
    )


def choose(site: ConsoleSite, request: HttpRequest) -> HttpResponse:
    """The page, and what is sent from it: `tenant`, the one to open, or the person's `language`."""
    found = places(request)
    if request.method == "POST" and "tenant" in request.POST:
        return _opened(request, found)
    user = request.user
    form = LanguageForm(request.POST if request.method == "POST" else None, initial={"language": _language(request)})
    if form.is_valid() and isinstance(user, User):
        user.language = form.cleaned_data["language"]
        with walls.lifted():  # their own, in whatever tenant; the wall keeps tenants from operators' accounts
            user.save(update_fields=["language"])
        messages.success(request, _("Saved."))
        response = HttpResponseRedirect(reverse("console:choose"))
        if settings.LANGUAGE_COOKIE_NAME in request.COOKIES:  # kept by the switch at the top of pages
            languages.remember(response, user.language)
        return response
    context = {"title": _("Tenants and language"), "found": found, "form": form, "current": place_of(request)}
    return site.page(request, "tenant/choose.html", context)


def _opened(request: HttpRequest, found: list[Member]) -> HttpResponse:
    wanted = next((each for each in found if str(each.tenant_id) == request.POST["tenant"]), None)
    if wanted is None:
        messages.error(request, _("There is no such tenant among yours."))
        return HttpResponseRedirect(reverse("console:choose"))
    request.session[CHOSEN] = wanted.tenant_id
    return HttpResponseRedirect(reverse("console:index"))


def _language(request: HttpRequest) -> str:
    return str(getattr(request.user, "language", ""))
