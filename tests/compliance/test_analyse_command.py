"""`manage.py analyse`, and what the schedule runs."""

import time

import pytest
from django.core.management import CommandError, call_command

from clawdbot_site.celery import app
from compliance.models.insights import AnalysisRun
from compliance.tasks import analyse_journal
from tests.compliance.analysis.journal import counts, kept, turn

__all__ = ["kept"]


def test_it_reads_what_is_new_and_says_how_much(kept, capsys):
    kept.write(*turn(), *turn(tenant_id=2))
    call_command("analyse", tenant="acme")
    assert capsys.readouterr().out == "2 entries were read.\n"
    assert counts(2) == {}
    call_command("analyse")
    call_command("analyse", rebuild=True)
    assert capsys.readouterr().out == "2 entries were read.\n4 entries were read.\n"
    assert sum(counts(what="turns").values()) == 1
    kept.write(*turn())
    assert analyse_journal() == 2
    assert app.conf.beat_schedule["analyse-journal"]["task"] == analyse_journal.name


def test_it_says_why_it_did_nothing(kept, capsys):
    with pytest.raises(CommandError, match="nobody"):
        call_command("analyse", tenant="nobody")
    AnalysisRun.objects.create(pk=1, holder="somebody", held_until=time.time() + 60)
    with pytest.raises(SystemExit) as end:
        call_command("analyse")
    assert end.value.code == 2
    assert "Another run" in capsys.readouterr().err
