import re
from pathlib import Path

from access.metrics import Metrics
from access.schemas import PARAMS, ChatBody
from access.urls import ROUTES
from engine.types import Usage

API = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")


def test_it_names_every_route():
    documented = set(re.findall(r"/(?:api|v1)/[\w/{}.-]+", API))
    assert {re.sub(r"{\w+}", "{id}", route) for route in ROUTES} <= documented


def test_it_names_every_field():
    words = set(re.findall(r"\w+", API))
    assert set(ChatBody.__struct_fields__) | PARAMS <= words


def test_it_names_every_metric():
    metrics = Metrics()
    metrics.turn(tenant="t", model="m", edge="e", state="completed", ttft=0.1, duration=0.1, usage=Usage(1, 1))
    names = {family.name for family in metrics.registry.collect()}
    documented = {name.removesuffix("_total") for name in re.findall(r"`(\w+_\w+)[{`]", API)}
    assert names <= documented
