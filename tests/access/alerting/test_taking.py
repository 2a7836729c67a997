"""Of several processes that could look, one does."""

from __future__ import annotations

import pytest

from access.alerting import running

AT = 1_700_000_000.0


@pytest.mark.django_db(transaction=True)
def test_who_is_stopped_leaves_it_to_the_next_at_once() -> None:
    stops = iter([False, True])
    running.run(lambda seconds: next(stops), every=0.0, now=lambda: AT)
    assert running.take("next", AT + 1) and not running.take("another", AT + 2)
    running.leave("somebody else")
    assert not running.take("another", AT + 3)
