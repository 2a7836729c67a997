"""`/accounts/login/`: the one sign-in page of both consoles."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.views import LoginView
from django.http import HttpResponse

from access.people.adapters import LOCKED_FOR


class SignInPage(LoginView):
    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context_data(**kwargs)
        context["open_for_sign_up"] = get_adapter().is_open_for_signup(self.request)
        return context

    def form_invalid(self, form: Any) -> HttpResponse:
        """Where somebody is locked out the answer says so to programs, too."""
        response: HttpResponse = super().form_invalid(form)
        wait = getattr(self.request, LOCKED_FOR, 0)
        if wait:
            response.status_code = 429
            response["Retry-After"] = str(wait)
        return response


sign_in_page = SignInPage.as_view()
