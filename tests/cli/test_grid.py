"""Rows in columns: what identifies and what counts is whole at any width."""

import io

import pytest
from rich.console import Console

from probes.cli.shared import grid

HEADINGS = ("check", "status", "24 h", "because")
ROWS = [("buy-a-book", "down", "78.95 %", "order: status == 201 (status was 503)"), ("quote", "up", "100.00 %", "", "a note")]


def lines(width, rows=ROWS, headings=HEADINGS, **more):
    output = Console(file=io.StringIO(), width=width)
    return [line.plain for block in grid.blocks(headings, rows, output, right=("24 h",), **more) for line in block]


def test_a_wide_terminal_has_a_line_for_each():
    assert lines(120) == [
        "check       status      24 h  because",
        "buy-a-book  down     78.95 %  order: status == 201 (status was 503)",
        "quote       up      100.00 %",
        "  a note",
    ]


def test_the_last_column_ends_in_an_ellipsis_and_nothing_else_gives_way():
    rows = [("a", "down", "1 %", "x" * 300)]
    (_, row) = lines(100, rows, cut=True)
    assert row.startswith("a      down     1 %  xxx")
    assert row.endswith("x…")
    assert len(row) == 100
    assert all(len(line) <= 100 for line in lines(100, rows))
    assert sum(line.count("x") for line in lines(100, rows)) == 300


def test_a_narrow_terminal_has_it_below():
    assert lines(50)[:3] == [
        "check       status      24 h",
        "buy-a-book  down     78.95 %",
        "  order: status == 201 (status was 503)",
    ]


@pytest.mark.parametrize("width", [20, 30, 40, 80, 90, 120])
def test_ids_status_and_numbers_are_whole_at_any_width(width):
    text = "\n".join(lines(width, cut=True))
    for cell in ("buy-a-book", "quote", "down", "78.95 %", "100.00 %"):
        assert cell in text


def test_what_does_not_fit_beside_the_id_is_below():
    identity = "quote/2026-11-23T22:50:25.123Z"
    rows = [(identity, "critical", "open", "", "status was 503")]
    assert lines(40, rows, ("incident", "severity", "status", "acknowledged", "because")) == [
        "incident                        severity",
        f"{identity}  critical",
        "  status open",
        "  status was 503",
    ]


def test_wide_letters_keep_the_columns():
    first, second = lines(100, [("会社", "up", "1 %", "a"), ("four", "up", "1 %", "b")])[1:]
    assert first.index("a") + 2 == second.index("b")
