"""The product with mistakes in it that quote what they were given: a page and a background task."""

from clawdbot_site.settings import *  # noqa: F403

ROOT_URLCONF = "tests.product.canaried_urls"

from celery import shared_task  # noqa: E402


@shared_task(name="tests.product.canaried.broken")  # type: ignore[untyped-decorator]
def broken(text: str) -> None:
    raise ValueError(f"broken by {text}")
