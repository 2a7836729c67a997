"""A console's views behind their tenant's wall."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.response import SimpleTemplateResponse

from access.console.tenant.place import place_of
from tenants import walls

View = Callable[..., HttpResponse]


def walled(view: View) -> View:
    """Down to the rendering of the page, which may still ask the database."""

    @functools.wraps(view)
    def within(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        place = place_of(request)
        with walls.within(place.tenant.pk if place is not None else None):
            answer = view(request, *args, **kwargs)
            return answer.render() if isinstance(answer, SimpleTemplateResponse) else answer

    return within
