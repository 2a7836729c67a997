"""What the sites of both consoles share: pages that are no table's, and a search among what the side bar names."""

from __future__ import annotations

from functools import wraps
from typing import Any

from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.template.response import SimpleTemplateResponse, TemplateResponse
from django.utils import translation
from django.utils.translation import gettext_lazy as _
from unfold.dataclasses import SearchResult
from unfold.sites import UnfoldAdminSite

MOST = 100


class ConsoleSite(UnfoldAdminSite):
    """A console. Nothing of a search is kept: what one person may see is not what another may."""

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        return {**super().each_context(request), "templates": {"navigation": "tenant/navigation.html"}}

    def page(self, request: HttpRequest, template: str, context: dict[str, Any], status: int = 200) -> HttpResponse:
        """A page in the site's frame."""
        request.current_app = self.name  # addresses in templates are of this console
        return TemplateResponse(request, template, {**self.each_context(request), **context}, status=status)

    def found(self, request: HttpRequest, view: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """The view's answer. Where there is nothing, a person's browser gets a page, the same whether a row is missing
        or somebody else's; whoever else asks gets the one error shape."""
        try:
            response: HttpResponseBase = view(request, *args, **kwargs)
        except Http404:
            if not wants_page(request):
                raise
            return self.page(request, "console/not_found.html", {"title": _("There is nothing here")}, status=404)
        return response

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        wanted = request.GET.get("s", "").strip().lower()
        if not wanted:
            return HttpResponse()
        found = [
            SearchResult(
                title=str(item["title"]),
                description=str(group.get("title", "")),
                link=str(item["link"]),
                icon=item.get("icon", "tag"),
            )
            for group in self.get_sidebar_list(request)
            for item in group["items"]
            if wanted in str(item["title"]).lower()
        ][:MOST]
        results = Paginator(found, MOST).page(1)
        context = {"page_obj": results.paginator, "results": results, "page_counter": 0, "execution_time": 0}
        headers = {"HX-Trigger": "search"}
        return TemplateResponse(request, "unfold/helpers/search_results.html", context, headers=headers)


def wants_page(request: HttpRequest) -> bool:
    """Whether a browser shows the answer as a page of its own: scripts, such as those of dialogs, ask otherwise."""
    return "text/html" in request.headers.get("Accept", "") and "HX-Request" not in request.headers


def in_their_words(request: HttpRequest) -> translation.override:
    """The language the person has chosen, else what the browser has or asks for."""
    return translation.override(getattr(request.user, "language", "") or translation.get_language() or "en")


def spoken(view: Any) -> Any:
    """The view, rendered in the language of whoever asks."""

    @wraps(view)
    def shown(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        with in_their_words(request):
            response: HttpResponseBase = view(request, *args, **kwargs)
            if isinstance(response, SimpleTemplateResponse):
                response.render()
        return response

    return shown
