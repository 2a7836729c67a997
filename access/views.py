"""What every view on the lean handler shares: an asynchronous DRF view that knows its caller."""

from __future__ import annotations

from typing import Any, ClassVar, Final, cast

import msgspec
from django.http import HttpResponse
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.views import APIView

from access import bodies, errors
from access.asgi import RawHeaders, Scope, peer
from access.authentication import require_area, require_scope
from access.lean import JsonReply, LeanRequest, Reply
from access.parts import Parts
from engine.context import belongs_to
from engine.types import Json, Principal
from tenants import actors, walls
from tenants.actors import Actor

encode = msgspec.json.Encoder().encode
_NO_NEGOTIATION: Final = BaseContentNegotiation()


class LeanView(APIView):
    """DRF's dispatch with awaited handlers. The caller is resolved before `initial()`, which then runs from memory:
    `request.user` is the `Principal`. Bodies come through the JSON guard, answers leave as JSON whatever is accepted.
    So there are no parsers, authenticators, permissions, throttles and versions to be made ready for each request.
    """

    parts: Parts = None  # type: ignore[assignment]  # handed in by as_view()
    principal: Principal
    needs: ClassVar[tuple[str, ...]] = ("chat",)  # scopes, one of which is enough; none: any credential is
    area: ClassVar[str] = ""  # of tenants.roles: what the caller must be allowed to read or change, instead of `needs`
    authentication_classes = ()
    permission_classes = ()
    http_method_names = ["get", "post", "patch", "delete"]

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        """Without the coroutine around each call that marks it for Django's middleware: that mark it has itself."""
        view = super().as_view(**initkwargs).__wrapped__  # type: ignore[attr-defined]
        view.csrf_exempt = True
        return view

    async def dispatch(self, request: LeanRequest, *args: Any, **kwargs: Any) -> HttpResponse | Reply:  # type: ignore[override]
        self.args, self.kwargs = args, kwargs
        self.request = wrapped = self.initialize_request(request, *args, **kwargs)
        try:
            await self.identify(cast(Scope, request.scope), request.request_id)
            self.initial(wrapped, *args, **kwargs)
            method = request.method.lower() if request.method else ""
            handler = getattr(self, method, None) if method in self.http_method_names else None
            response: HttpResponse | Reply = await (handler or self.refuse_method)(wrapped, *args, **kwargs)
        except Exception as error:  # noqa: BLE001  # the border: DRF's handler turns every error into the one shape
            response = self.handle_exception(error)
        return response

    async def identify(self, scope: Scope, request_id: str) -> None:
        """Learns who asks. Raises what `access.authentication` does."""
        authenticator, headers, caller = self.parts.authenticator, scope["headers"], peer(scope)
        self.principal = authenticator.cached(headers, caller) or await authenticator.authenticate(headers, caller)
        scope["tenant_id"] = self.principal.tenant_id  # for access.cors
        belongs_to(self.principal.tenant)
        self.request.user = self.principal  # type: ignore[assignment]
        actors.become(Actor(self.principal.subject, "", request_id))
        walls.become(self.principal.tenant_id)

    async def refuse_method(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse | Reply:
        self.http_method_not_allowed(request, *args, **kwargs)
        raise AssertionError("http_method_not_allowed raises")

    def initialize_request(self, request: LeanRequest, *args: Any, **kwargs: Any) -> Request:  # type: ignore[override]
        return Request(request, negotiator=_NO_NEGOTIATION, parser_context={"view": self})

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Raises Forbidden."""
        if self.area:
            require_area(self.principal, self.area, "read" if request.method == "GET" else "change")
        elif self.needs:
            require_scope(self.principal, *self.needs)

    def get_exception_handler(self) -> Any:
        return errors.exception_handler

    @property
    def lean_request(self) -> LeanRequest:
        return self.request._request  # type: ignore[return-value]

    def body(self) -> Json:
        """The guarded JSON object of the request. Errors are told in its `language` from now on."""
        body = bodies.parse(
            self.lean_request.body, bodies.LARGEST_BYTES
        )  # how large it may be was said when it was read
        self.lean_request.named_language = body.get("language")
        return body

    def json(self, value: Any, status: int = 200, headers: RawHeaders | None = None) -> JsonReply:
        return JsonReply(encode(value), status, headers)

    @property
    def raw_headers(self) -> RawHeaders:
        """As the server gave them: a name may occur twice."""
        headers: RawHeaders = self.lean_request.scope["headers"]
        return headers


class OpenView(LeanView):
    """For anybody, without a credential: `principal` is not set. What comes with one all the same is not looked at."""

    async def identify(self, scope: Scope, request_id: str) -> None:
        actors.become(Actor("anybody", "", request_id))
        walls.become(None)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Nobody is asked who they are."""
