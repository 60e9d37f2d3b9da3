"""Every text colour on every ground it may stand on has the contrast of WCAG 2.2 AA: 4.5 to 1, and 3 to 1 for what is drawn."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

CSS = files("probes.local.web").joinpath("static/page.css").read_text()
TEXTS = ("ink", "soft", "up", "degraded", "down", "unknown", "paused", "accent")
GROUNDS = ("bg", "card", "sunk", "tint-down", "tint-degraded", "tint-up")
DRAWN = ("bar-up", "bar-degraded", "bar-down", "bar-unknown", "c0", "c1", "c2", "c3", "c4", "c5")


def theme(selector: str) -> dict[str, str]:
    block = CSS[CSS.index(selector) :].split("}")[0]
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))


THEMES = {"light": theme(":root {"), "dark": theme(':root[data-theme="dark"]')}


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("name", THEMES)
def test_texts_can_be_read(name: str) -> None:
    colours = THEMES[name]
    poor = {
        (t, g): round(contrast(colours[t], colours[g]), 2) for t in TEXTS for g in GROUNDS if contrast(colours[t], colours[g]) < 4.5
    }
    assert poor == {}
    assert contrast(colours["on"], colours["accent"]) >= 4.5


@pytest.mark.parametrize("name", THEMES)
def test_what_is_drawn_can_be_seen(name: str) -> None:
    colours = THEMES[name]
    assert {one: round(c, 2) for one in DRAWN if (c := contrast(colours[one], colours["card"])) < 3} == {}


def test_the_chosen_dark_is_the_system_dark() -> None:
    assert theme(':root:not([data-theme="light"])') == THEMES["dark"]


def test_the_measure_is_right() -> None:
    assert round(contrast("#000000", "#ffffff"), 1) == 21.0
    assert round(contrast("#767676", "#ffffff"), 2) == 4.54
