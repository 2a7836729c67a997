"""Static files that pages of other origins load: the SDK and the widget."""

from __future__ import annotations

from typing import Final
from wsgiref.headers import Headers

SHARED: Final = ("/static/sdk/", "/static/widget/")


def mark(headers: Headers, path: str, url: str) -> None:
    """Whitenoise's hook: any page may load these (`Access-Control-Allow-Origin: *` is on every static file), also one
    that isolates itself with `Cross-Origin-Embedder-Policy`."""
    if url.startswith(SHARED):
        headers["Cross-Origin-Resource-Policy"] = "cross-origin"
