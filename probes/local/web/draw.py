"""Small pictures made on the server: sparklines, timelines and plain charts, as SVG without a style or a script.

Nothing is told by colour alone: a failed run is a broken bar, a state has a height of its own, the unknown is hatched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Final

from markupsafe import Markup, escape

from probes.core.diagnostics import printable
from probes.local.web.series import Drawing
from probes.local.web.states import State
from probes.local.web.words import clock, lasting, milliseconds, plural

Scale = Callable[[float], float]
RUNS: Final = 60
_WIDE, _HIGH, _PITCH = 240, 32, 4
_LETTER: Final = {"passed": "p", "degraded": "d", "failed": "f", "errored": "e", "skipped": "s"}
_HATCHED: Final = Markup('" fill="url(#hatch)"')
_HEIGHT: Final = {"up": 8, "degraded": 14, "down": 20, "unknown": 20, "paused": 4, "none": 2}


def spark(latencies: Sequence[float | None], outcomes: Sequence[str]) -> Markup:
    """The last 60 runs, the newest at the right: a bar's height is its latency; a failed run is a bar of full height, broken."""
    latencies, outcomes = latencies[-RUNS:], outcomes[-RUNS:]
    known = [value for value in latencies if value is not None]
    top = max(min(max(known), 3 * median(known)), 1e-3) if known else 1.0
    paths: dict[str, list[str]] = {}
    for index, (latency, outcome) in enumerate(zip(latencies, outcomes, strict=False)):
        x = _WIDE - _PITCH * (len(outcomes) - index) + 2
        y = round(_HIGH - 3 - min(1.0, (latency or 0.0) / top) * (_HIGH - 8))
        bar = {
            "passed": f"M{x} {_HIGH}V{y}",
            "degraded": f"M{x} {_HIGH}V{y + 1}M{x} {y - 3}v-2",
            "failed": f"M{x} {_HIGH}v-5M{x} {_HIGH - 8}V0",
        }.get(outcome, f"M{x} {_HIGH}v-2m0-3v-2m0-3v-2" if outcome == "errored" else f"M{x} {_HIGH}v-2")
        paths.setdefault(_LETTER.get(outcome, "s"), []).append(bar)
    drawn = "".join(f'<path class="{letter}" d="{"".join(bars)}"/>' for letter, bars in paths.items())
    return _svg(
        f'<svg class="spark" viewBox="0 0 {_WIDE} {_HIGH}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(_told(known, outcomes))}"><path class="g" d="M0 {_HIGH - 0.5}H{_WIDE}"/>{drawn}</svg>'
    )


def _svg(text: str) -> Markup:
    return Markup(text)  # noqa: S704 - numbers, words of this file, and texts that went through escape()


def _told(known: Sequence[float], outcomes: Sequence[str]) -> str:
    if not outcomes:
        return "no runs yet"
    counts = [f"{outcomes.count(outcome)} {outcome}" for outcome in _LETTER if outcome in outcomes]
    told = f"last {plural(len(outcomes), 'run')}: {', '.join(counts)}"
    return told + (f"; latency {milliseconds(min(known))} to {milliseconds(max(known))}" if known else "")


def band(states: Iterable[State], start: float, end: float, label: str) -> Markup:
    """A location's states as one row: the taller, the worse; hatched where nothing is known."""
    scale = 1000 / max(end - start, 1e-9)
    drawn, told = [], []
    for state in states:
        x, wide, high = (state.start - start) * scale, max(1.5, (state.end - state.start) * scale), _HEIGHT.get(state.status, 20)
        word = "no data" if state.status == "none" else state.status
        says = f"{word} for {lasting(state.end - state.start)} from {clock(state.start)}" + (
            f": {state.because}" if state.because else ""
        )
        says = printable(says[:300])
        told.append(says)
        look = escape(state.status) + (_HATCHED if state.status == "unknown" else Markup('"'))
        place = f'x="{x:.1f}" y="{20 - high}" width="{wide:.1f}" height="{high}"'
        drawn.append(f'<rect class="st-{look} {place}><title>{escape(says)}</title></rect>')
    summary = "; ".join(told[:8]) + (f"; and {len(told) - 8} more" if len(told) > 8 else "")
    return _svg(
        f'<svg class="band" viewBox="0 0 1000 20" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(printable(label))}: {escape(summary)}">{"".join(drawn)}</svg>'
    )


def chart(drawing: Drawing, bands: Sequence[tuple[float, float, str]] = ()) -> Markup:
    """A panel's lines with axes, for readers without scripts. ``bands``: start, end and words of incidents, shaded behind."""
    wide, high, left, foot = 800, 240, 56, 24
    across = (wide - left - 8) / max(drawing.end - drawing.start, 1e-9)
    stacked = drawing.panel.kind == "stack"
    values = _sums(drawing) if stacked else [value for line in drawing.lines for _, value in line.points if value is not None]
    top = _nice(max(values, default=1.0))

    def x(at: float) -> float:
        return left + (min(max(at, drawing.start), drawing.end) - drawing.start) * across

    def y(value: float) -> float:
        return 8 + (high - foot - 8) * (1 - min(value, top) / top)

    parts = [
        f'<rect class="incident-band" x="{x(a):.1f}" y="8" width="{max(2.0, x(b) - x(a)):.1f}" height="{high - foot - 8}">'
        f"<title>{escape(printable(words))}</title></rect>"
        for a, b, words in bands
        if b > drawing.start and a < drawing.end
    ]
    for part in (0.0, 0.5, 1.0):
        said = milliseconds(top * part) if drawing.panel.unit == "Milliseconds" else f"{top * part:g}"
        parts.append(f'<path class="axis" d="M{left} {y(top * part):.1f}H{wide - 8}"/>')
        parts.append(
            f'<text x="{left - 8}" y="{y(top * part) + 4:.1f}" text-anchor="end">{escape("0" if not part else said)}</text>'
        )
    for part, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        at = drawing.start + (drawing.end - drawing.start) * part
        parts.append(f'<text x="{x(at):.1f}" y="{high - 6}" text-anchor="{anchor}">{escape(_moment(at, drawing))}</text>')
    parts += _stack(drawing, x, y) if stacked else _paths(drawing, x, y)
    names = ", ".join(printable(line.name) for line in drawing.lines)
    return _svg(
        f'<svg class="chart" viewBox="0 0 {wide} {high}" role="img" aria-label="{escape(drawing.panel.title)}: {escape(names)}; '
        f'the greatest value is {escape(milliseconds(max(values, default=0.0)))}">{"".join(parts)}</svg>'
    )


def _moment(at: float, drawing: Drawing) -> str:
    said = clock(at)
    return said[11:16] if drawing.end - drawing.start <= 2 * 86400 else said[5:16]


def _nice(value: float) -> float:
    size = 10.0 ** (len(f"{int(max(value, 1))}") - 1)
    return next(size * step for step in (1, 1.5, 2, 3, 4, 5, 7.5, 10, 15) if size * step >= value)


def _paths(drawing: Drawing, x: Scale, y: Scale) -> list[str]:
    found = []
    for index, line in enumerate(drawing.lines):
        pen, d = "M", []
        for at, value in line.points:
            if value is None:
                pen = "M"
                continue
            d.append(f"{pen}{x(at):.1f} {y(value):.1f}")
            pen = "L"
        found.append(f'<path class="line c{index % 6}" d="{"".join(d)}"/>')
    return found


def _sums(drawing: Drawing) -> list[float]:
    sums: dict[float, float] = {}
    for line in drawing.lines:
        for at, value in line.points:
            if value is not None:
                sums[at] = sums.get(at, 0.0) + value
    return list(sums.values())


def _stack(drawing: Drawing, x: Scale, y: Scale) -> list[str]:
    times = sorted({at for line in drawing.lines for at, value in line.points if value is not None})
    floor = dict.fromkeys(times, 0.0)
    found = []
    for index, line in enumerate(drawing.lines):
        values = {at: value for at, value in line.points if value is not None}
        roof = {at: floor[at] + values.get(at, 0.0) for at in times}
        if times:
            there = "L".join(f"{x(at):.1f} {y(roof[at]):.1f}" for at in times)
            back = "L".join(f"{x(at):.1f} {y(floor[at]):.1f}" for at in reversed(times))
            found.append(f'<path class="area c{index % 6}" d="M{there}L{back}Z"/>')
        floor = roof
    return found
