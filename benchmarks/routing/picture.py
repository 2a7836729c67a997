"""A picture of who gets the traffic: a panel for every policy and fault, as SVG for light and dark pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 176, 62  # of a panel
LEFT, TOP, RIGHT, BOTTOM, GAP = 122, 84, 14, 40, 16
MOST = 3.0  # times the equal share at the top of a panel; what is more is cut off and said
STYLE = """
svg { font: 11px -apple-system, "Segoe UI", "DejaVu Sans", Arial, sans-serif }
text, .tick { fill: #1f2328 } .page { fill: #ffffff } .panel { fill: #f6f8fa; stroke: #d1d9e0 }
.fault { fill: #fbdcd7 } .equal { stroke: #818b98; stroke-dasharray: 4 3 } .share { stroke: #0969da }
.faint { fill: #59636e }
.title { font-size: 15px; font-weight: 600 } .head { font-weight: 600 }
.share { fill: none; stroke-width: 1.6; stroke-linejoin: round } .end { text-anchor: end } .mid { text-anchor: middle }
.on { paint-order: stroke; stroke: #f6f8fa; stroke-width: 3px; stroke-opacity: .75 }
@media (prefers-color-scheme: dark) {
text, .tick { fill: #e6edf3 } .page { fill: #0d1117 } .panel { fill: #161b22; stroke: #3d444d }
.fault { fill: #58211d } .equal { stroke: #9198a1 } .share { stroke: #58a6ff }
.faint { fill: #9198a1 } .on { stroke: #161b22 }
}
"""


@dataclass(frozen=True)
class Panel:
    """`shares`: of the faulty upstream by half seconds, 1 is an equal part. The fault is there from `begin` to `end`
    seconds."""

    policy: str
    fault: str
    good: float
    begin: float
    end: float
    shares: Sequence[float]
    valid: bool = True


def draw(panels: Sequence[Panel], title: str) -> str:
    """The SVG's text: a row for each policy, a column for each fault."""
    policies = list(dict.fromkeys(panel.policy for panel in panels))
    faults = list(dict.fromkeys(panel.fault for panel in panels))
    width = max(LEFT + len(faults) * (WIDTH + GAP) - GAP + RIGHT, 24 + 9 * len(title))
    height = TOP + len(policies) * (HEIGHT + GAP) - GAP + BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        f'<rect class="page" width="{width}" height="{height}"/>',
        f'<text class="title" x="12" y="24">{escape(title)}</text>',
        *_legend(),
    ]
    for column, fault in enumerate(faults):
        x = LEFT + column * (WIDTH + GAP)
        parts.append(f'<text class="head" x="{x}" y="{TOP - 8}">{escape(fault)}</text>')
        parts += _seconds(next(panel for panel in panels if panel.fault == fault), x, height - BOTTOM)
    for row, policy in enumerate(policies):
        y = TOP + row * (HEIGHT + GAP)
        parts.append(f'<text class="head" x="12" y="{y + HEIGHT / 2 + 4}">{escape(policy)}</text>')
        for tick in range(int(MOST) + 1):
            height_of = y + HEIGHT * (1 - tick / MOST) + 4
            parts.append(f'<text class="faint end" x="{LEFT - 5}" y="{height_of:.1f}">{tick}</text>')
    for panel in panels:
        x = LEFT + faults.index(panel.fault) * (WIDTH + GAP)
        y = TOP + policies.index(panel.policy) * (HEIGHT + GAP)
        parts.append(f'<g transform="translate({x} {y})">{_inside(panel)}</g>')
    return "\n".join([*parts, "</svg>\n"])


def _legend() -> Iterator[str]:
    y = 46
    yield f'<path class="share" d="M12 {y - 4}h22"/><text x="40" y="{y}">share of the calls, in equal parts</text>'
    yield f'<path class="equal" d="M236 {y - 4}h22"/><text x="264" y="{y}">an equal part</text>'
    yield f'<rect class="fault" x="356" y="{y - 11}" width="22" height="14"/><text x="384" y="{y}">the fault</text>'


def _seconds(panel: Panel, x: float, y: float) -> Iterator[str]:
    """The axis of time under a column."""
    length = len(panel.shares) / 2
    step = 10 if length <= 60 else 20
    for second in range(0, int(length) + 1, step):
        place = x + WIDTH * second / length
        yield f'<path class="equal" stroke-dasharray="none" d="M{place:.1f} {y}v4"/>'
        yield f'<text class="faint mid" x="{place:.1f}" y="{y + 16}">{second}</text>'
    yield f'<text class="faint mid" x="{x + WIDTH / 2}" y="{y + 31}">seconds</text>'


def _inside(panel: Panel) -> str:
    step = WIDTH / len(panel.shares)
    points = " ".join(
        f"{(place + 0.5) * step:.1f},{HEIGHT * (1 - min(share, MOST) / MOST):.1f}"
        for place, share in enumerate(panel.shares)
    )
    begin, end = (2 * when * step for when in (panel.begin, panel.end))
    said = f"{panel.good:.2f} % good" + ("" if panel.valid else ", not valid")
    most = max(panel.shares)
    if most > MOST:
        said = f"up to {ceil(most)}; {said}"
    return (
        f'<rect class="panel" width="{WIDTH}" height="{HEIGHT}"/>'
        f'<rect class="fault" x="{begin:.1f}" y="0.5" width="{end - begin:.1f}" height="{HEIGHT - 1}"/>'
        f'<path class="equal" d="M0 {HEIGHT * (1 - 1 / MOST):.1f}H{WIDTH}"/>'
        f'<polyline class="share" points="{points}"/>'
        f'<text class="on end" x="{WIDTH - 5}" y="14">{said}</text>'
    )
