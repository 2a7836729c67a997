"""Static files that have an address of their own, which others know or ask for unasked."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from django.contrib.staticfiles import finders
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

ICON: Final = "console/favicon.svg"
ICON_AGE: Final = 86_400  # seconds


def public_file(name: str, content_type: str, age: int) -> HttpResponse:
    """`age`: seconds it may be kept. It is not streamed: a server of ASGI complains about files that are. Raises
    Http404."""
    found = finders.find(name)
    if found is None:
        raise Http404
    answer = HttpResponse(Path(found).read_bytes(), content_type=content_type)
    answer["Cache-Control"] = f"public, max-age={age}"
    return answer


@require_safe
def favicon(request: HttpRequest) -> HttpResponse:
    """What browsers ask for beside pages that name no icon of their own, such as JSON and downloads."""
    return public_file(ICON, "image/svg+xml", ICON_AGE)
