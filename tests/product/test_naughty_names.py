"""Every page of both consoles in a browser, with names that are scripts in every text there is: none of them runs."""

import pytest

from clawdbot_site.selftest.isolation import surface
from tests.naughty import FORMULAS, SCRIPTS, TEMPLATES
from tests.product.running import Product
from tests.services.browser import chromium

FILL = """
from itertools import cycle
from django.db import models
from clawdbot_site.selftest.isolation import furnishing
from tenants.models import *
from compliance.models import *
from routing.models import *
from plugins.models import *
texts = cycle({texts!r})
KEPT = {{'slug', 'store_url', 'digest', 'sealed', 'sealed_key', 'state', 'kind', 'plugin', 'adapter', 'network', 'role',
        'email', 'subject', 'of', 'time_zone', 'accent', 'background', 'visitors', 'username', 'password', 'endpoint',
        'result_name', 'words', 'hint', 'sharing', 'task', 'action', 'direction', 'at_limit', 'store_layout',
        'budget_webhook', 'durations', 'first_tokens'}}
made = furnishing.furnish()
for model in [Tenant, User, *furnishing._scoped()]:
    fields = [field.name for field in model._meta.concrete_fields
              if isinstance(field, models.CharField | models.TextField)
              and not field.choices and field.name not in KEPT]
    if model.__name__ == 'ChangeRecord' or not fields:
        continue
    for row in list(furnishing._rows_of(model)):
        values = {{name: next(texts)[: model._meta.get_field(name).max_length or 1000] for name in fields}}
        furnishing._rows_of(model).filter(pk=row.pk).update(**values)
for number, text in enumerate({texts!r}):
    tenant = Tenant.objects.get(slug='owners')
    key = ApiKey(tenant=tenant, name=text[:100], digest=f'n{{number}}', hint='cb_x')
    rule = RoutingRule(tenant=tenant, name=text[:100], model=text[:100])
    words = SensitiveWordList(tenant=tenant, name=f'{{text[:90]}} {{number}}', words='x')
    user = User(username=f'n{{number}}', first_name=text[:150], last_name=text[:150])
    for row in (key, rule, words, user):
        type(row)._base_manager.bulk_create([row])
    Member._base_manager.bulk_create([Member(tenant=tenant, user=user)])
value = made
"""


@pytest.fixture(scope="module")
def renamed(tmp_path_factory: pytest.TempPathFactory):
    """A product of its own: no other test knows its rows by their names any more."""
    with Product(tmp_path_factory.mktemp("renamed") / "var", LOCAL_MODEL="off", WORKERS="1").up() as product:
        yield product


@pytest.fixture(scope="module")
def furnished(renamed: Product):
    return renamed.operate(FILL.format(texts=[*SCRIPTS, *TEMPLATES, *FORMULAS]))


def addresses(site: str, rows: dict[str, str]) -> list[str]:
    found = []
    for door in surface.pages():
        if door.method != "GET" or not door.path.startswith(f"/{site}/") or "log" in door.path.split("/")[2][:3]:
            continue
        path = door.path
        if "{object_id}" in path and door.model in rows and path.endswith(("/change/", "/history/", "/delete/")):
            path = path.replace("{object_id}", rows[door.model])
        if "{" not in path and not path.endswith(("jsi18n/", "autocomplete/", "search/", "download/")):
            found.append(path)
    return found


@pytest.mark.parametrize(("site", "who"), [("admin", "operator"), ("console", "owners-owner")])
def test_no_name_runs_on_any_page(renamed: Product, furnished, site: str, who: str):
    paths = addresses(site, furnished["rows"])
    assert len(paths) > (40 if site == "admin" else 1)
    ran, dialogs, seen = [], [], 0
    with chromium() as browser:
        context = browser.new_context()
        context.add_cookies([{"name": "sessionid", "value": furnished["cookies"][who], "url": renamed.url}])
        page = context.new_page()
        page.on("dialog", lambda dialog: (dialogs.append(page.url), dialog.dismiss()))
        for path in paths:
            answer = page.goto(f"{renamed.url}{path}", wait_until="load")
            if answer is None or answer.status >= 400:
                assert answer is not None and answer.status < 500, path
                continue
            assert "login" not in page.url, path
            seen += 1
            if page.evaluate("window.__ran"):
                ran.append(path)
        context.close()
    assert (ran, dialogs) == ([], [])
    assert seen > (35 if site == "admin" else 1)
