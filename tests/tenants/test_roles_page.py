"""docs/roles.md is the table of `tenants.roles`."""

import re
from pathlib import Path

from tenants import roles

PAGE = (Path(__file__).parents[2] / "docs" / "roles.md").read_text(encoding="utf-8")
WORDS = {"change": "change", "read": "read", None: "—"}


def rows():
    return {
        cells[0].strip("`"): cells[1:] for cells in re.findall(r"^\| (.+?) " + r"\| (.+?) " * 5 + r"\|", PAGE, re.M)
    }


def test_it_says_what_each_role_may():
    names = list(roles.ROLES)
    head, table = rows()["area"], rows()
    assert [cell.strip() for cell in head] == names
    assert [area for area in table if area in roles.AREAS] == list(roles.AREAS)
    for area in roles.AREAS:
        for role, cell in zip(names, table[area], strict=True):
            assert cell.strip() == WORDS[roles.ROLES[role].get(area)], (area, role)


def test_every_area_is_explained():
    for area in roles.AREAS:
        assert re.search(rf"^- \*\*{area}\*\*: \S", PAGE, re.M), area


def test_it_walks_what_the_roles_may_grant():
    granted = {role: [other for other in roles.ROLES if roles.may_grant(role, other)] for role in roles.ROLES}
    for role, others in granted.items():
        said = ", ".join(f"`{other}`" for other in others) or "nobody"
        assert f"| `{role}` | {said} |" in PAGE
