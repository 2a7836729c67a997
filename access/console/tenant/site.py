"""The site at `/console/`: the same machinery as the platform's, within one tenant."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, NamedTuple

from asgiref.sync import sync_to_async
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.template.response import SimpleTemplateResponse, TemplateResponse
from django.urls import URLPattern, URLResolver, include, path
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache

from access import errors
from access.console.frame import ConsoleSite, in_their_words
from access.console.signing_in import SharedSignIn
from access.console.tenant import isolation
from access.console.tenant.choosing import choose
from access.console.tenant.lasting import while_allowed
from access.console.tenant.overview import overview
from access.console.tenant.place import CHOSEN, Place, memberships, place_of
from access.console.tenant.scoped import here
from access.people.account_page import closed_door
from engine.errors import Forbidden, InvalidRequest, Unauthenticated
from tenants import walls
from tenants.support import visits_now

View = Callable[..., Any]


class Page(NamedTuple):
    """One that is no table's: `view(site, request, ...)` for whoever may read its area. `path` may have parameters."""

    path: str
    name: str
    area: str
    view: View
    streams: bool = False  # an asynchronous view, whose answer is sent as it is made


class TenantSite(SharedSignIn, ConsoleSite):
    """Screens register with `register`; pages that are no table's are given to it."""

    settings_name = "UNFOLD_CONSOLE"
    index_title = _("Overview")
    index_template = "tenant/index.html"

    def __init__(self, name: str = "console", pages: Sequence[Page] = ()) -> None:
        super().__init__(name)
        self.pages = pages

    def get_urls(self) -> list[URLPattern | URLResolver]:
        """A page whose address has any word in it comes behind the screens: `plugins/webhook/` is a screen, and
        `plugins/queue/` a plugin's page."""
        choosing = path("choose/", self.admin_view(lambda request: choose(self, request)), name="choose")
        *screens, whatever = super().get_urls()
        fixed = [self._path(page) for page in self.pages if "<str:" not in page.path]
        named = [self._path(page) for page in self.pages if "<str:" in page.path]
        return [choosing, *self._screens(), *fixed, *isolation.urls(self), *screens, *named, whatever]

    def _path(self, page: Page) -> URLPattern:
        view = self._live(page) if page.streams else self.admin_view(self._guarded(page))
        return path(page.path, view, name=page.name)

    def _screens(self) -> list[URLPattern | URLResolver]:
        """Before the pages, whose addresses with a name in them would take those of a screen for one."""
        found = self._registry.items()
        return [path(f"{model._meta.app_label}/{model._meta.model_name}/", include(each.urls)) for model, each in found]

    def _guarded(self, page: Page) -> View:
        @wraps(page.view)
        def view(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            place = place_of(request)
            if place is None or not place.may(page.area):
                raise PermissionDenied
            answer: HttpResponse = page.view(self, request, *args, **kwargs)
            return answer

        return view

    def _live(self, page: Page) -> Callable[..., Any]:
        """Nobody is sent to sign in again from here: a script asks, not a person."""

        @never_cache
        async def view(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            place = await sync_to_async(place_of)(request)
            if place is None or not place.may(page.area):
                return errors.numbered(Unauthenticated() if place is None else Forbidden(), request)
            opened_for = request.headers.get("X-Console-Tenant")
            if opened_for is not None and opened_for != str(place.tenant.pk):
                return errors.numbered(InvalidRequest("The page was opened for another tenant."), request)
            with walls.within(place.tenant.pk):
                answer: HttpResponseBase = await page.view(self, request, place, *args, **kwargs)
            if isinstance(answer, StreamingHttpResponse):
                return while_allowed(answer, request, place, page.area)
            return answer

        return view

    def has_permission(self, request: HttpRequest) -> bool:
        return place_of(request) is not None

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """Every page of the site: behind the tenant's wall, in its time zone and the person's language, for the tenant
        it was opened for; whoever has no console is told why instead of being sent to sign in again."""

        @wraps(view)
        def shown(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            place = place_of(request)
            wall = walls.within(place.tenant.pk if place is not None else None)
            with _in_the_time_of(place), in_their_words(request), wall:
                response: HttpResponseBase = self._answered(request, place, view, *args, **kwargs)
                if isinstance(response, SimpleTemplateResponse):
                    response.render()
            return response

        guarded = super().admin_view(shown, cacheable)

        @wraps(guarded)
        def entered(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if request.user.is_authenticated and place_of(request) is None:
                leaving = request.resolver_match is not None and request.resolver_match.url_name == "logout"
                return view(request) if leaving else closed_door(request)
            return guarded(request, *args, **kwargs)

        return entered

    def _answered(self, request: HttpRequest, place: Place | None, view: Any, *args: Any, **kwargs: Any) -> Any:
        opened_for = request.POST.get(CHOSEN) if request.method == "POST" else None
        if place is not None and opened_for is not None and opened_for != str(place.tenant.pk):
            asked = next((each for each in memberships(request) if str(each.tenant_id) == opened_for), None)
            context = {"title": _("Nothing was saved"), "asked": asked.tenant if asked is not None else None}
            return self.page(request, "tenant/other_tenant.html", context, status=409)
        return self.found(request, view, *args, **kwargs)

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        place = place_of(request)
        return {
            **super().each_context(request),
            "place": place,
        }

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        tenant = here(request).tenant
        shown = {"visits": visits_now(tenant.pk), **overview(request, tenant)}
        page: TemplateResponse = super().index(request, {**shown, **(extra_context or {})})
        return page


def _in_the_time_of(place: Place | None) -> timezone.override:
    return timezone.override(zoneinfo.ZoneInfo(place.tenant.time_zone) if place is not None else None)
