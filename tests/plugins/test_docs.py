"""`docs/plugins.md` names what there is, quotes an example that works, and shows the smallest plugin as it runs.

That the example installs and runs is in `tests.plugins.test_starting`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from access.console import setting_fields
from access.management.plugin_dry_runs import DryRunBody
from engine.types import Message
from plugins import base, hooks, registry, settings_types
from plugins.starting import SKELETON
from tests.plugins.turns import chain, pre, said

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "docs" / "examples" / "clawdbot-glossary"
QUOTED = dict(re.findall(r"^`([\w.]+)`\n\n```\w+\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
SMALLEST = next(
    text for text in re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL) if "Database" in text
)
SEED = """
class DatabasePlugin(PluginBase):
    def pre_process(self, context):
        # 解析用户输入中的数据库查询意图
        pass

    def post_process(self, response):
        # 将模型生成的SQL转换为可执行语句
        pass
"""


OURS = {"answered", "asked", "left"}  # how a hook's wishes are kept for the chain


def named(name: str) -> bool:
    return re.search(rf"[`.]{name}\b", PAGE) is not None


def test_it_quotes_the_example_as_it_is() -> None:
    assert {path.name: path.read_text(encoding="utf-8") for path in EXAMPLE.iterdir() if path.is_file()} == QUOTED


@pytest.mark.parametrize("text", [SMALLEST, SEED], ids=["page", "seed"])
@pytest.mark.parametrize("name", ["PluginBase", "PluginInterface"])
async def test_the_smallest_plugin_runs_as_it_stands(text: str, name: str) -> None:
    known = {"PluginBase": getattr(base, name)}
    exec(text, known)
    plugins = chain(known["DatabasePlugin"]())
    run = await pre(plugins, "How many orders?")
    answer = await run.post(said("SELECT count(*) FROM orders"))
    assert run.messages == [Message(role="user", content="How many orders?")]
    assert (run.skipped, answer[0].message.content) == ([], "SELECT count(*) FROM orders")


def test_it_names_every_hook_and_everything_a_hook_is_given() -> None:
    given = (base.TurnContext, base.TurnResponse, base.TurnDelta, base.PluginBase)
    names = {name for cls in given for name in vars(cls) if not name.startswith("_")} - OURS
    assert sorted(name for name in names if not named(name)) == []


def test_it_names_every_plugin_that_is_built_in() -> None:
    builtin = [each.name for each in registry.extensions() if not each.package]
    assert sorted(name for name in builtin if not named(name)) == []


def test_it_names_every_outcome() -> None:
    section = PAGE.partition("## Counted and shown")[2].partition("## ")[0]
    outcomes = set(re.findall(r"`(\w+)`[ ;(]", str(hooks.__doc__).partition("outcome:")[2]))
    assert len(outcomes) == 9
    assert outcomes == set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))


def test_it_names_every_kind_of_setting() -> None:
    kinds = [name for name, value in vars(settings_types).items() if hasattr(value, "__metadata__")]
    assert kinds and sorted(name for name in kinds if not named(name)) == []
    forms = {"StrType": "str", "IntType": "int", "FloatType": "float", "BoolType": "bool", "EnumType": "enumeration",
             "LiteralType": "Literal", "ListType": "list[str]"}  # fmt: skip
    assert {kind.__name__ for kind in setting_fields._MAKERS} == set(forms)
    assert [word for word in forms.values() if word not in PAGE] == []


def test_it_names_every_field_of_a_dry_run() -> None:
    assert sorted(name for name in DryRunBody.__struct_encode_fields__ if not named(name)) == []


def test_it_says_how_packages_are_found_and_begun() -> None:
    assert f"`{registry.GROUP}`" in PAGE and "manage.py startplugin" in PAGE
    assert sorted(path.name for path in SKELETON.glob("*.txt")) == [
        "README.md.txt", "module.py.txt", "pyproject.toml.txt", "test_module.py.txt"
    ]  # fmt: skip
