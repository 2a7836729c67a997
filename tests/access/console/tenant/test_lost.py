"""A page that is not there says the same to whoever is not meant to see what is."""

from __future__ import annotations

import re

from plugins.models import SinkState

PAGE = {"Accept": "text/html,*/*;q=0.8"}


def test_charlie_cannot_tell_a_foreign_row_from_a_missing_one(cast, charlie):
    foreign = SinkState.objects.create(tenant=cast.acme, sink="webhook:1", label="sales")
    pages = []
    for number in (foreign.pk, foreign.pk + 1000):
        answer = charlie.get(f"/console/plugins/sinkstate/{number}/from_now/", headers=PAGE)
        assert answer.status_code == 404
        text = answer.content.decode().replace(f"/{number}/", "/N/")
        pages.append(re.sub(r'(csrf\w*|nonce)["\' ]+(value|content)?=?["\'][\w-]+["\']', "", text))
    assert pages[0] == pages[1]
    assert "sales" not in pages[0]
    assert "There is nothing here" in pages[0]
