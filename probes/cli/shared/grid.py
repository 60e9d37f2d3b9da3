"""Rows in columns that fit a terminal: ids, status and numbers stay whole, the last column takes what is left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from rich.console import Console
from rich.text import Text

from probes.core.diagnostics import printable

Cell = str | Text
LEAST: Final = 36
"""Columns that the last cell needs to stand beside the others; with fewer it goes below them."""
INDENT: Final = 2


def blocks(
    headings: Sequence[str], rows: Iterable[Sequence[Cell]], output: Console, *, right: Sequence[str] = (), cut: bool = False
) -> list[list[Text]]:
    """The lines of the headings, then of each row.

    A row has a cell for each heading, or one more: a note on a line of its own. What does not fit beside the first columns goes
    to lines below, indented. The last cell and the note are folded there, or with ``cut`` end in an ellipsis.
    """
    cells = [[cell if isinstance(cell, Text) else Text(printable(cell)) for cell in row] for row in rows]
    count = len(headings)
    widths = [max([len(headings[n]), *(row[n].cell_len for row in cells)]) for n in range(count - 1)]
    ends = [sum(widths[: n + 1]) + 2 * n for n in range(count - 1)]
    width = output.width
    lasting = any(row[count - 1] for row in cells)
    beside = count
    if ends and lasting and width - ends[-1] - 2 < LEAST:
        beside = max(1, sum(end <= width for end in ends))

    def line(parts: Sequence[Text]) -> Text:
        made = Text()
        for number, part in enumerate(parts):
            space = " " * (widths[number] - part.cell_len) if number < len(widths) else ""
            made.append(space if headings[number] in right else "").append_text(part)
            if number < len(parts) - 1:
                made.append("" if headings[number] in right else space).append("  ")
        made.rstrip()
        return made

    def fitted(text: Text, indent: int, *, cut: bool = cut) -> list[Text]:
        room = max(1, width - indent)
        if cut:
            text = text.copy()
            text.truncate(room, overflow="ellipsis")
            return [text]
        return list(text.wrap(output, room))

    def block(row: Sequence[Text]) -> list[Text]:
        last = row[count - 1]
        if beside == count:
            indent = ends[-1] + 2 if ends else 0
            first, *more = fitted(last, indent) or [Text()]
            made = [line([*row[: count - 1], first]), *(Text(" " * indent).append_text(part) for part in more)]
        else:
            made = [line(row[:beside])]
            named = zip(headings[beside : count - 1], row[beside : count - 1], strict=True)
            told = Text("  ").join(Text(f"{heading} ", style="dim").append_text(part) for heading, part in named if part)
            below = [*fitted(told, INDENT, cut=False), *fitted(last, INDENT)]
            made += [Text(" " * INDENT).append_text(part) for part in below if part]
        for note in row[count:]:
            made += [Text(" " * INDENT).append_text(part) for part in fitted(note, INDENT) if note]
        return made

    shown = [Text(heading, style="dim") for heading in headings]
    return [[line(shown[:beside])], *(block(row) for row in cells)]
