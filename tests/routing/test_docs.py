from pathlib import Path
from typing import get_args

import yaml

from engine.types import Answerer
from routing.conditions import FIELDS, compile_condition
from routing.configuration import MODEL_KEYS, RULE_KEYS, load
from routing.selection import Removal
from tests.routing.fleet import Fleet, entry, rule

DOCS = Path(__file__).resolve().parents[2] / "docs"


def page(name):
    return (DOCS / name).read_text(encoding="utf-8")


def block(text, language):
    return text.partition(f"```{language}\n")[2].partition("```")[0]


def test_it_documents_every_field_and_every_reason():
    text = page("routing.md")
    assert [field for field in (*FIELDS, *get_args(Removal)) if f"`{field}`" not in text] == []


def test_it_documents_every_key():
    text = page("configuration.md")
    models, rules = text.split("## `routing_rules`")
    assert [key for key in MODEL_KEYS if f"`{key}`" not in models] == []
    assert [key for key in RULE_KEYS if f"`{key}`" not in rules] == []


def test_it_shows_a_file_that_loads(companies):
    outcome = load(block(page("configuration.md"), "yaml"), tenant=None, environ={"OPENAI_API_KEY": "sk-1"})
    assert outcome.created == 4


def test_it_shows_conditions_that_compile():
    shown = page("routing.md").partition("## Conditions")[2].partition("```\n")[2].partition("```")[0].splitlines()
    assert len(shown) == 6
    for text in shown:
        compile_condition(text)


def test_it_shows_a_decision_in_the_shape_of_decisions():
    shown = yaml.safe_load(block(page("routing.md"), "json"))
    fleet = Fleet(
        [entry(1, "gpt"), entry(7, "claude"), entry(8, "claude")],
        [rule(1, "gpt", "metadata.plan == 'gold'", fallbacks=("claude",))],
    )
    fleet.health(1).paused_until = fleet.clock.now + 5
    asked = {"metadata": {"plan": "gold"}, "headers": [(b"x-team", b"research")], "max_tokens": 500}
    made = fleet.ask(answerer=Answerer("gpt", 1), **asked).decision
    assert shape(shown) == shape(made)


def shape(value):
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    return [shape(each) for each in value[:1]] if isinstance(value, list) else None
