"""`/favicon.ico`: what browsers ask for beside pages that name no icon of their own, such as JSON and downloads."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from django.contrib.staticfiles import finders
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

ICON: Final = "console/favicon.svg"
AGE: Final = 86_400  # seconds


@require_safe
def favicon(request: HttpRequest) -> HttpResponse:
    found = finders.find(ICON)
    if found is None:
        raise Http404
    answer = HttpResponse(Path(found).read_bytes(), content_type="image/svg+xml")
    answer["Cache-Control"] = f"public, max-age={AGE}"
    return answer
