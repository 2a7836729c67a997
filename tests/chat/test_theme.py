"""A tenant's colours: whatever they chose, texts can be read."""

from __future__ import annotations

import random

import pytest

PAINT = """async ([accent, background]) => {
    const { contrast, paint, readable } = await import("/static/chat/theme.js");
    const root = document.createElement("div");
    const { ground } = paint({ accent, background }, root);
    const value = (name) => root.style.getPropertyValue(name);
    const dark = root.dataset.theme === "dark";
    const pairs = [["--on-accent", value("--accent")], [dark ? "--accent-on-dark" : "--accent-on-light", ground]];
    if (value("--bg")) pairs.push(["--text", value("--bg")], ["--muted", value("--bg")], ["--text", value("--surface")],
        ["--muted", value("--surface")]);
    return { theme: root.dataset.theme ?? "", least: Math.min(...pairs.map(([name, on]) => contrast(value(name), on))),
        accent: value("--accent") };
}"""


@pytest.mark.parametrize(
    ("accent", "background", "theme"),
    [("#4f46e5", "", ""), ("#4f46e5", "#ffffff", ""), ("#ffdd00", "#fffbe6", "light"), ("#00ff00", "#101820", "dark")],
)
def test_a_background_decides_between_light_and_dark(module_page, accent, background, theme):
    found = module_page.evaluate(PAINT, [accent, background])
    assert (found["theme"], found["accent"]) == (theme, accent) and found["least"] >= 4.5


@pytest.mark.parametrize("wrong", ["", "red", "#fff", "#12345g", "url(https://away.invalid)", "#4f46e5;}"])
def test_what_is_no_colour_is_left_out(module_page, wrong):
    found = module_page.evaluate(PAINT, [wrong, wrong])
    assert (found["theme"], found["accent"]) == ("", "#4f46e5")


def test_any_two_colours_can_be_read(module_page):
    chance = random.Random(7)
    colours = [f"#{chance.randrange(1 << 24):06x}" for _ in range(60)]
    for accent, background in zip(colours, reversed(colours), strict=True):
        assert module_page.evaluate(PAINT, [accent, background])["least"] >= 4.5, (accent, background)
