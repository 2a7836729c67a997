import re
from pathlib import Path

from engine.addresses import EMBEDDED, NEVER, RANGES

PAGE = (Path(__file__).parents[2] / "docs/outbound.md").read_text(encoding="utf-8")


def test_the_page_has_every_range_in_its_order_and_how_it_is_called():
    rows = re.findall(r"^\| `([\da-f.:]+/\d+)` \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)
    ranges = [(text, what, "never" if verdict == NEVER else "with leave") for text, verdict, what in RANGES]
    inside = "as the IPv4 address inside"
    embedded = [(text, what, inside + (", but only with leave" if least else "")) for text, _, least, what in EMBEDDED]
    assert rows == ranges + embedded
