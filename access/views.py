"""What every view on the lean handler shares: an asynchronous DRF view that knows its caller."""

from __future__ import annotations

from typing import Any, ClassVar, cast

import msgspec
from django.http import HttpResponse
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


class LeanView(APIView):
    """DRF's dispatch with awaited handlers. The caller is resolved before `initial()`, which then runs from memory:
    `request.user` is the `Principal`. Bodies come through the JSON guard, answers leave as JSON whatever is accepted.
    """

    parts: Parts = None  # type: ignore[assignment]  # handed in by as_view()
    principal: Principal
    needs: ClassVar[tuple[str, ...]] = ("chat",)  # scopes, one of which is enough; none: any credential is
    area: ClassVar[str] = ""  # of tenants.roles: what the caller must be allowed to read or change, instead of `needs`
    authentication_classes = ()
    permission_classes = ()
    http_method_names = ["get", "post", "patch", "delete"]

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
        self.principal = await self.parts.authenticator.authenticate(scope["headers"], peer(scope))
        scope["tenant_id"] = self.principal.tenant_id  # for access.cors
        belongs_to(self.principal.tenant)
        self.request.user = self.principal  # type: ignore[assignment]
        actors.become(Actor(self.principal.subject, "", request_id))
        walls.become(self.principal.tenant_id)

    async def refuse_method(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse | Reply:
        self.http_method_not_allowed(request, *args, **kwargs)
        raise AssertionError("http_method_not_allowed raises")

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if self.area:
            require_area(self.principal, self.area, "read" if request.method == "GET" else "change")
        elif self.needs:
            require_scope(self.principal, *self.needs)

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[Any, str]:
        return None, "application/json"

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
        APIView.initial(self, request, *args, **kwargs)
