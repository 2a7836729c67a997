"""Both consoles send people to the one sign-in page, and say why where somebody who signed in may not enter."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from access.people.account_page import closed_door


class SharedSignIn(AdminSite):
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The site's own address for it stays, for whoever kept it."""
        if request.user.is_authenticated:
            if not self.has_permission(request):
                return closed_door(request)
            return HttpResponseRedirect(self._wanted(request))
        return redirect_to_login(self._wanted(request))

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        super().logout(request, extra_context)
        return HttpResponseRedirect(reverse("account_login"))

    def _wanted(self, request: HttpRequest) -> str:
        wanted = request.GET.get(REDIRECT_FIELD_NAME, "")
        own = reverse(f"{self.name}:index")
        inside = url_has_allowed_host_and_scheme(wanted, allowed_hosts=None) and wanted.startswith(own)
        return wanted if inside and not wanted.startswith(reverse(f"{self.name}:login")) else own
