"""The invitation a browser came with, kept in its web session while the person signs in or up."""

from __future__ import annotations

from typing import Final

from django.http import HttpRequest

from tenants import invitations
from tenants.models import Invitation

KEPT: Final = "invitation"


def keep(request: HttpRequest, secret: str) -> None:
    request.session[KEPT] = secret


def waiting(request: HttpRequest) -> Invitation | None:
    secret = request.session.get(KEPT)
    return invitations.find(secret=secret) if isinstance(secret, str) else None


def forget(request: HttpRequest) -> None:
    request.session.pop(KEPT, None)
