"""django-unfold's actions that ask in a dialog, which is a page in the console's frame where no page has loaded it:
opened in a tab of its own, or sent without scripts."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.safestring import mark_safe
from unfold import decorators

from access.console.frame import wants_page


def action(*, dialog: Any, **options: Any) -> Callable[[Any], Any]:
    """As `unfold.decorators.action`, for one that asks in a dialog."""

    def decorated(function: Any) -> Any:
        asked = decorators.action(dialog=dialog, **options)(function)

        @wraps(asked)
        def shown(screen: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            answer: HttpResponse = asked(screen, request, *args, **kwargs)
            if not wants_page(request):
                return answer
            if "HX-Redirect" in answer.headers:
                return HttpResponseRedirect(answer.headers["HX-Redirect"])
            row = kwargs.get("object_id")
            if row is not None and screen.get_object(request, str(row)) is None:
                raise Http404
            back = screen.link("changelist") if row is None else screen.link("change", row)
            body = mark_safe(answer.content.decode())  # noqa: S308  # a template's, rendered
            page: HttpResponse = screen.framed(request, "dialog.html", title=dialog["title"], body=body, back=back)
            return page

        return shown

    return decorated
