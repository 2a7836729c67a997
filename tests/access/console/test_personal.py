from __future__ import annotations

import re
from types import SimpleNamespace

from django.test import Client

from access.console.personal import TITLES
from compliance.models import PersonalData
from compliance.personal.scanning import NAMES
from compliance.personal.switches import compile_personal

ADD = "/admin/compliance/personaldata/add/"


def test_it_switches_recognisers_on_and_off(console: Client, cast: SimpleNamespace) -> None:
    assert console.post(ADD, {"tenant": cast.acme.pk, "recognisers": ["id_cn", "phone"]}).status_code == 302
    row = PersonalData.objects.everywhere().get()
    assert (row.tenant_id, row.recognisers) == (cast.acme.pk, ["phone", "id_cn"])
    assert set(compile_personal().tenants) == {cast.acme.pk}
    page = f"/admin/compliance/personaldata/{row.pk}/change/"
    text = console.get(page).content.decode()
    boxes = re.findall(r'<input type="checkbox" name="recognisers"[^>]*>', text)
    assert len(boxes) == len(NAMES)
    assert [re.findall('value="(.*?)"', box)[0] for box in boxes if " checked>" in box] == ["phone", "id_cn"]
    assert "China: resident identity number" in text
    assert console.post(page, {"tenant": cast.acme.pk}).status_code == 302
    assert compile_personal().tenants == {}


def test_it_says_what_is_wrong(console: Client, cast: SimpleNamespace) -> None:
    answer = console.post(ADD, {"tenant": cast.acme.pk, "recognisers": ["shoe_size"]})
    assert list(answer.context["adminform"].form.errors) == ["recognisers"]
    console.post(ADD, {"tenant": cast.acme.pk, "recognisers": ["phone"]})
    answer = console.post(ADD, {"tenant": cast.acme.pk, "recognisers": ["email"]})
    assert list(answer.context["adminform"].form.errors) == ["tenant"]


def test_it_lists_who_masks_what(console: Client, cast: SimpleNamespace) -> None:
    PersonalData.objects.create(tenant=cast.globex, recognisers=["phone", "card"])
    text = console.get("/admin/compliance/personaldata/").content.decode()
    assert "Telephone numbers, Payment cards" in text


def test_every_recogniser_has_a_title() -> None:
    assert list(TITLES) == list(NAMES)
