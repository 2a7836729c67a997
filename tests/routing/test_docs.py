from pathlib import Path
from typing import get_args

import yaml

from routing.conditions import FIELDS, compile_condition
from routing.configuration import MODEL_KEYS, RULE_KEYS, load
from routing.selection import Removal

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
    assert len(shown) == 5
    for text in shown:
        compile_condition(text)


def test_it_shows_a_decision_in_the_shape_of_decisions():
    shown = yaml.safe_load(block(page("routing.md"), "json"))
    assert set(shown) == {"model", "instance", "rules", "candidates", "features", "runner_up"}
    assert set(shown["candidates"][0]) == {
        "id", "instance", "weight", "quality", "score", "in_flight", "removed"
    }  # fmt: skip
