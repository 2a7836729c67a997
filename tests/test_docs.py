"""What the pages say is there: links, paths, commands, codes, metrics, examples. Settings, plugin hooks, routes, fields
and keys are held to their pages beside the code they belong to."""

import re
from pathlib import Path

import pytest
from django.core.management import get_commands

from access import errors
from clawdbot_site.serving import limits

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md")])
APPS = {"clawdbot_site", "tenants", "routing", "sessions_app", "plugins", "compliance", "access"}
EVERYTHING = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def code_blocks(page: str) -> list[tuple[str, str]]:
    """(language, text) of the fenced blocks."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_its_links_lead_somewhere(page):
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_files_it_names_exist(page):
    named = re.findall(r"`((?:[a-z_]+/)+(?:[\w.]+\.(?:py|md|txt|toml|sh|proto))?)`", page.read_text(encoding="utf-8"))
    ours = {folder.name for folder in ROOT.iterdir() if folder.is_dir() and folder.name != "var"}
    assert [name for name in named if name.split("/")[0] in ours and not (ROOT / name).exists()] == []


def test_its_index_lists_every_page():
    listed = re.findall(
        r"^- \[[^\]]+\]\(([\w-]+\.md)\)", (DOCS / "README.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert sorted(listed) == sorted(page.name for page in DOCS.glob("*.md") if page.name != "README.md")


def test_it_names_every_command():
    ours = {name for name, app in get_commands().items() if app in APPS}
    missing = [name for name in ours if not re.search(rf"(?:manage\.py |^\| `){name}\b", EVERYTHING, re.MULTILINE)]
    assert sorted(missing) == []
    shown = set(re.findall(r"manage\.py ([a-z]\w+)", EVERYTHING))
    assert sorted(shown - set(get_commands())) == []


def test_it_names_every_error_code():
    page = (DOCS / "errors.md").read_text(encoding="utf-8")
    codes = {kind.code for kind in errors.TABLE}
    codes |= {value.code for value in vars(limits).values() if isinstance(value, limits.Refusal)}
    assert sorted(code for code in codes if f"`{code}`" not in page) == []


def test_both_readmes_show_the_same_examples():
    def program(text: str) -> str:
        """Without its comments and what it says to the model."""
        lines = [re.sub(r"(^|\s+)# .*$", "", line).rstrip() for line in text.splitlines()]
        return re.sub(r'"content": "[^"]*"|"message": "[^"]*"', "", "\n".join(line for line in lines if line))

    def programs(page: str) -> list[tuple[str, str]]:
        return [(language, program(text)) for language, text in code_blocks(page) if language]

    assert programs("README.md") == programs("README.zh-CN.md")


def test_both_readmes_have_the_same_parts():
    def shape(page: str) -> list[str]:
        text = (ROOT / page).read_text(encoding="utf-8")
        return [line.split(" ")[0] for line in text.splitlines() if line.startswith("#") and not line.startswith("# {")]

    def links(page: str) -> set[str]:
        text = (ROOT / page).read_text(encoding="utf-8")
        return set(re.findall(r"\]\(([^)]+)\)", text)) - {"README.md", "README.zh-CN.md"}

    assert links("README.md") == links("README.zh-CN.md")
    assert shape("README.md").count("##") == shape("README.zh-CN.md").count("##")
