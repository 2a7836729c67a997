"""A picture of who gets the traffic: a panel for every policy and fault, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from benchmarks.routing.running import Outcome

WIDTH, HEIGHT, LEFT, TOP, GAP = 170, 64, 110, 60, 14
MOST = 2.0  # times the equal share at the top of a panel
STYLE = "font:11px sans-serif;background:#fff"


def draw(outcomes: Sequence[Outcome], title: str) -> str:
    """The SVG's text. The curve is the share of the first upstream, the dashes an equal part, grey the fault."""
    policies = list(dict.fromkeys(outcome.policy for outcome in outcomes))
    faults = list(dict.fromkeys(outcome.fault for outcome in outcomes))
    width, height = LEFT + len(faults) * (WIDTH + GAP), TOP + len(policies) * (HEIGHT + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" style="{STYLE}">',
        f'<text x="8" y="20" font-size="14">{escape(title)}</text>',
    ]
    for column, fault in enumerate(faults):
        parts.append(f'<text x="{LEFT + column * (WIDTH + GAP)}" y="{TOP - 10}" font-weight="bold">{fault}</text>')
    for row, policy in enumerate(policies):
        parts.append(f'<text x="8" y="{TOP + row * (HEIGHT + GAP) + HEIGHT / 2}">{escape(policy)}</text>')
    for outcome in outcomes:
        x = LEFT + faults.index(outcome.fault) * (WIDTH + GAP)
        y = TOP + policies.index(outcome.policy) * (HEIGHT + GAP)
        parts.append(f'<g transform="translate({x} {y})">{_panel(outcome)}</g>')
    return "\n".join([*parts, "</svg>\n"])


def _panel(outcome: Outcome) -> str:
    step = WIDTH / len(outcome.shares)
    points = " ".join(
        f"{(place + 0.5) * step:.1f},{HEIGHT * (1 - min(share, MOST) / MOST):.1f}"
        for place, share in enumerate(outcome.shares)
    )
    begin, end = (2 * when * step for when in (outcome.begin, outcome.end))
    return (
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fafafa" stroke="#ccc"/>'
        f'<rect x="{begin:.1f}" width="{end - begin:.1f}" height="{HEIGHT}" fill="#e4e4e4"/>'
        f'<path d="M0 {HEIGHT / 2}H{WIDTH}" stroke="#999" stroke-dasharray="3 3"/>'
        f'<polyline points="{points}" fill="none" stroke="#1f6f8b" stroke-width="1.5"/>'
        f'<text x="{WIDTH - 4}" y="12" text-anchor="end">{outcome.good:.2f} % good</text>'
    )
