"""The rows of "everything on": `python -m benchmarks.rows MOCK_URL` fills the databases of VAR_DIR and prints the keys.

Two tenants: `full` has limits (so high that they count and never refuse), 60,000 sensitive words that block in both
directions, and the two rules of the default configuration; `plain` has none of these. The journal, the metrics and the
key check are everybody's."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

if "VAR_DIR" not in os.environ:
    os.environ["VAR_DIR"] = tempfile.mkdtemp(prefix="clawdbot-bench-")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clawdbot_site.settings")

import django  # noqa: E402

django.setup()

from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402

from benchmarks.listed import words  # noqa: E402
from compliance.wordlists import replace_words  # noqa: E402
from routing.models import ModelInstance, RoutingRule  # noqa: E402
from routing.services import save_instance  # noqa: E402
from tenants.models import Tenant  # noqa: E402
from tenants.services import create_api_key, create_tenant  # noqa: E402

PLENTY = 100_000_000
RULES = (
    ("gpt-3.5-turbo", 60, ["max_tokens < 2000", "temperature <= 0.7"]),
    ("llama2-70b", 40, ["complexity_score > 0.8"]),
)


def migrate() -> None:
    (Path(settings.VAR_DIR) / "journal").mkdir(parents=True, exist_ok=True)
    for alias in settings.DATABASES:
        call_command("migrate", database=alias, interactive=False, verbosity=0, skip_checks=True)


def fill(endpoint: str) -> dict[str, str]:
    """Tenants, models, rules and words; the API key by tenant."""
    full = create_tenant(
        slug="full",
        name="Everything on",
        requests_per_minute=PLENTY,
        tokens_per_minute=PLENTY * 1000,
        concurrent_turns=100_000,
    )
    plain = create_tenant(slug="plain", name="Nothing on")
    for model, weight, conditions in RULES:
        instance = ModelInstance(
            name=model,
            endpoint=endpoint,
            upstream_model="mock",
            version="v1.2",
            context_window=16_385,
            allow_private=True,
            price_in="0.5",
            price_out="1.5",
        )
        save_instance(instance=instance, api_key="sk-of-the-mock")
        rule = RoutingRule(tenant=full, model=model, weight=weight, conditions=conditions)
        rule.full_clean()
        rule.save()
    replace_words(tenant=full, name="words", words=words())
    return {tenant.slug: _key(tenant) for tenant in (full, plain)}


def _key(tenant: Tenant) -> str:
    return create_api_key(tenant=tenant, name="benchmark")[1]


def main() -> None:
    migrate()
    print(json.dumps(fill(sys.argv[1])))


if __name__ == "__main__":
    main()
