"""`manage.py replayrules`: a readable report, JSON, and exit codes."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError

from access.management.commands import replayrules
from routing.models import ModelInstance, RoutingRule
from routing.services import save_instance
from tests.access.recorded import turn, write

START = 1_700_000_000.0
SPAN = ["--from", "2023-11-14T22:13:20Z", "--to", "1700003600"]
RULES = """
models:
  - {name: dear, api_key: "${NOT_SET_ANYWHERE}"}
routing_rules:
  - {model: cheap, weight: 1, priority: 1, conditions: ["max_tokens < 1000"]}
  - {model: dear, weight: 1, name: rest}
"""


@pytest.fixture
def site(cast: SimpleNamespace, tmp_path: Path) -> SimpleNamespace:
    cheap, dear = (
        save_instance(instance=ModelInstance(name=name, adapter="echo", price_in=price))
        for name, price in (("cheap", 1), ("dear", 10))
    )
    mine = [turn(START + n, cheap, rules=["always"], max_tokens=n * 100) for n in range(20)]
    asked = write(*mine, turn(START + 100, dear, tenant_id=cast.globex.pk, max_tokens=3000))
    (tmp_path / "rules.yaml").write_text(RULES)
    return SimpleNamespace(ids=asked, file=str(tmp_path / "rules.yaml"), folder=tmp_path)


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("replayrules", *arguments, stdout=out)
    return out.getvalue()


def refused(*arguments: str) -> tuple[int, str]:
    with pytest.raises(CommandError) as error:
        run(*arguments)
    assert not RoutingRule.objects.everywhere().exists()
    return error.value.returncode, str(error.value)


def test_it_prints_a_report_people_can_read(site):
    said = run(site.file, "--tenant", "acme", *SPAN)
    for words in (
        "acme, 2023-11-14 22:13:20 to 2023-11-14 23:13:20 UTC",
        "20 turns, 20 replayed",
        "50.0 % would move (10 turns)",
        "  cheap -> dear: 10 (50.0 %)",
        "cheap            20     10",
        "cheap (rule 1)               0     10",
        "always                      20      0",
        "cost 0.0200 -> 0.1100 (+0.0900)",
        "first token 0.200 s -> 0.200 s on average",
        "first token: unknown for 10 turns, whose model has no recorded turn",
        f"  {site.ids[10]} 2023-11-14 22:13:30 cheap -> dear (100.0 %)",
    ):
        assert words in said, (words, said)
    assert not RoutingRule.objects.everywhere().exists()


def test_it_replays_all_tenants_against_the_platforms_rules(site):
    found = json.loads(run(site.file, "--json", *SPAN))
    assert (found["scope"], found["turns"]["read"], found["moved"]["turns"]) == ("platform", 21, 10)


def test_it_reads_rules_from_standard_input(site, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("routing_rules: []"))
    assert "20 turns, 20 replayed" in run("-", "--tenant", "acme", *SPAN)


def test_it_says_why_turns_were_left_out(site):
    (site.folder / "more.yaml").write_text("routing_rules: [{model: dear, conditions: [\"header.user-agent == 'x'\"]}]")
    said = run(str(site.folder / "more.yaml"), "--tenant", "acme", *SPAN)
    assert "20 turns, 0 replayed\n  20 hold too little" in said
    assert "    header.user-agent: 20" in said


def test_it_says_when_there_is_nothing_to_replay(site):
    assert "0 turns, 0 replayed" in run(site.file, "--tenant", "acme")


@pytest.mark.parametrize(
    ("text", "place"), [("routing_rules:\n  - {model: a, weigth: 3}\n", "2:16"), ("a: [", "1:5"), ("", "1:1")]
)
def test_it_says_where_a_file_is_wrong(site, text, place):
    path = site.folder / "wrong.yaml"
    path.write_text(text)
    code, said = refused(str(path))
    assert code == 1
    assert said.startswith(f"{path}:{place}: ")


def test_it_says_why_it_could_not_run(site, monkeypatch):
    assert refused("/nowhere.yaml") == (2, "/nowhere.yaml: [Errno 2] No such file or directory: '/nowhere.yaml'")
    assert refused(site.file, "--tenant", "nobody") == (2, "there is no tenant 'nobody'")
    assert refused(site.file, "--from", "soon")[1].startswith("--from: ")

    def away(*_: object) -> None:
        raise DatabaseError("disk I/O error")

    monkeypatch.setattr(replayrules, "replayed", away)
    assert refused(site.file) == (2, "the journal or the configuration cannot be read: disk I/O error")
