import json
import re
from pathlib import Path

import msgspec
import pytest

from access.management.activations import PluginAnswer
from access.management.allowances import AllowanceBody
from access.management.chat_site_settings import ChatSiteSettingsAnswer
from access.management.instance_fields import InstanceBody
from access.management.invitations import InvitationAnswer
from access.management.jobs import JobAnswer
from access.management.keys import KeyAnswer, KeyBody
from access.management.members import MemberAnswer
from access.management.own_tenant import MeAnswer
from access.management.rules import RuleAnswer, RuleBody, RulePatch
from access.schemas import PARAMS, ChatBody, fields
from access.urls import ROUTES
from routing.conditions import compile_condition
from routing.services import MAX_RULES
from routing.validation import MAX_CONDITIONS, MAX_FALLBACKS

DOCS = Path(__file__).parents[2] / "docs"
API = (DOCS / "api.md").read_text(encoding="utf-8")
RULES = (DOCS / "routing.md").read_text(encoding="utf-8").partition("## A tenant's own rules")[2].partition("\n## ")[0]


def test_it_names_every_route():
    documented = set(re.findall(r"/(?:api|v1)/[\w/{}.-]+", API))
    assert {re.sub(r"{\w+}", "{id}", route) for route in ROUTES} <= documented


def test_it_names_every_field():
    words = set(re.findall(r"\w+", API))
    assert set(ChatBody.__struct_fields__) | PARAMS <= words


def test_it_names_every_field_of_a_rule_and_no_other():
    told = re.findall(r"^\| (`.*?) \|", RULES, re.MULTILINE)
    assert {name for cell in told for name in re.findall(r"`(\w+)`", cell)} == set(RuleAnswer.__struct_fields__)
    assert str(MAX_RULES + 1) in RULES
    assert f"up to {MAX_CONDITIONS}," in RULES and f"up to {MAX_FALLBACKS} " in RULES


def test_it_shows_rules_as_they_are_sent_and_answered():
    sent = [json.loads(body) for body in re.findall(r"-d '(.*?)'", RULES)]
    assert [type(fields(body, RuleBody if "model" in body else RulePatch)) for body in sent] == [
        RuleBody,
        RulePatch,
        RuleBody,
    ]
    shown = json.loads(RULES.partition("```json\n")[2].partition("```")[0])
    assert msgspec.convert(shown, RuleAnswer) and set(shown) == set(RuleAnswer.__struct_fields__)
    for condition in (condition for body in sent for condition in body.get("conditions", [])):
        compile_condition(condition)


def test_it_names_every_field_of_a_job():
    told = re.search(r"`GET /api/jobs/{id}` \| `{(.*?)}`", API)[1]
    assert told.split(", ") == list(JobAnswer.__struct_fields__)


def test_it_shows_bodies_of_the_management_api_as_they_are_sent():
    """One a section: a key, a model, an allowance."""
    shown = [json.loads(body) for body in re.findall(r"```json\n(\{\"(?:name|member)\".*?)\n```", API)]
    for body, kind in zip(shown, (KeyBody, InstanceBody, AllowanceBody), strict=True):
        assert fields(body, kind)


@pytest.mark.parametrize(
    "kind", [KeyAnswer, MemberAnswer, InvitationAnswer, PluginAnswer, MeAnswer, ChatSiteSettingsAnswer, InstanceBody]
)
def test_it_names_every_field_of_the_management_api(kind):
    assert set(kind.__struct_fields__) <= set(re.findall(r"\w+", API))
