"""Problems as people and programs read them."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.core.diagnostics import (
    CODES,
    Problem,
    Rejected,
    did_you_mean,
    document,
    dotted,
    in_order,
    nearest,
    printable,
    render,
    split,
)
from probes.core.expression import ExpressionError, parse
from probes.core.kind import Fact
from probes.core.source import read, scan


def test_render_is_the_form_of_the_design() -> None:
    problem = Problem("unit", "a duration needs a unit: write 60s, 60ms or 60m", "broken.yaml", 4, 19, "defaults.every")
    lines = ["", "", "", "defaults: {every: 60, locations: [dublin, virgina]}"]
    assert render(problem, lines) == (
        "broken.yaml:4:19: a duration needs a unit: write 60s, 60ms or 60m\n"
        "     4 | defaults: {every: 60, locations: [dublin, virgina]}\n"
        "       |                   ^\n"
        "       = at defaults.every"
    )


def test_render_with_hint_and_two_digits() -> None:
    problem = Problem(
        "unknown-key", "there is no key `evry` here", "broken.yaml", 22, 5, "checks.cert.evry", "did you mean `every`?"
    )
    assert render(problem, [""] * 21 + ["    evry: 1h"]) == (
        "broken.yaml:22:5: there is no key `evry` here\n"
        "    22 |     evry: 1h\n"
        "       |     ^\n"
        "       = at checks.cert.evry\n"
        "       = hint: did you mean `every`?"
    )


def test_render_without_lines_and_as_warning() -> None:
    assert render(Problem("unused", "x", "f", severity="warning")) == "f:1:1: warning: x"


@pytest.mark.parametrize(
    ("line", "column", "shown", "caret"),
    [
        ("\tx", 2, "    x", 4),
        ("日本 x", 4, "日本 x", 5),
        ("e\u0301x", 3, "e\u0301x", 1),
        ("a\x1b[0mx", 6, "a\\x1b[0mx", 8),
        ("\u202ex", 2, "\\u202ex", 6),
        ("ab", 99, "ab", 2),
    ],
)
def test_caret_stands_below_the_character(line: str, column: int, shown: str, caret: int) -> None:
    _, quoted, below = render(Problem("value", "m", "f", 1, column), [line]).split("\n")
    assert quoted == f"     1 | {shown}"
    assert below == "       | " + " " * caret + "^"


def test_long_lines_are_cut_around_the_caret() -> None:
    line = "x" * 5000 + "HERE" + "y" * 5000
    _, quoted, below = render(Problem("value", "m", "f", 1, 5001), [line]).split("\n")
    assert len(quoted) < 140
    assert quoted[below.index("^") :].startswith("HERE")
    assert quoted.startswith("     1 | …")
    assert quoted.endswith("…")


def test_terminal_escapes_never_reach_the_terminal() -> None:
    text = render(Problem("value", "bad \x1b]0;x\x07", "f\x1b", 1, 1, "a\x1b", "b\x9b"), ["\x1b[2J"])
    assert "\x1b" not in text
    assert "\x9b" not in text


@given(st.text(max_size=300), st.integers(0, 400))
@settings(max_examples=200)
def test_render_never_fails(line: str, column: int) -> None:
    shown = render(Problem("value", line, "f", 1, column), split(line))
    assert shown.count("^") >= 1
    assert all(c.isprintable() or c == "\n" for c in shown)


def test_document_is_the_contract() -> None:
    problem = Problem(
        "unknown-key", "there is no key `evry` here", "checks.yaml", 22, 5, "checks.cert.evry", "did you mean `every`?"
    )
    assert document(problem) == {
        "severity": "error",
        "code": "unknown-key",
        "message": "there is no key `evry` here",
        "file": "checks.yaml",
        "line": 22,
        "column": 5,
        "path": "checks.cert.evry",
        "hint": "did you mean `every`?",
    }


def test_order_is_files_as_they_came_then_place() -> None:
    problems = [
        Problem("a", "m", "z", 9, 1),
        Problem("b", "m", "a", 1, 1),
        Problem("c", "m", "z", 2, 8),
        Problem("d", "m", "z", 2, 3),
    ]
    assert [p.code for p in in_order([*problems, problems[0]])] == ["d", "c", "a", "b"]
    assert [p.code for p in Rejected(problems).problems] == ["d", "c", "a", "b"]


def test_dotted() -> None:
    assert dotted(("checks", "quote", "must", 1)) == "checks.quote.must[1]"
    assert dotted(()) == ""


def test_nearest() -> None:
    assert nearest("latecny", ["status", "latency"]) == "latency"
    assert nearest("Latency", ["status", "latency"]) == "latency"
    assert nearest("zzz", ["status", "latency"]) is None
    assert nearest("", ["a"]) is None
    assert did_you_mean("evry", ["every"]) == "did you mean `every`?"
    assert nearest("x" * 100_000, ["x" * 100_000]) is None


@given(st.text(max_size=100), st.lists(st.text(max_size=70), max_size=20))
def test_nearest_is_an_option_or_nothing(word: str, options: list[str]) -> None:
    assert nearest(word, options) in (None, *options)


def test_printable_keeps_what_can_be_seen() -> None:
    assert printable("é日😀 x") == "é日😀 x"
    assert printable("a\nb\u2028\ud800") == "a\\x0ab\\u2028\\ud800"


def test_every_code_has_a_page() -> None:
    for code, page in CODES.items():
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", code)
        assert page.meaning.endswith(".")
        assert page.mend
        assert str(page).startswith(page.meaning)
        assert page.wrong != page.mend


@pytest.mark.parametrize("code", ["yaml", "duplicate-key", "alias-loop", "tag", "not-text-key", "empty"])
def test_the_examples_of_yaml_are_wrong_and_right(code: str) -> None:
    page = CODES[code]
    assert code in {problem.code for problem in scan(str(page.wrong), "f")[1]}
    assert scan(page.mend, "f")[1] == ()


@pytest.mark.parametrize("code", ["mapping-line", "comment-line"])
def test_the_examples_of_traps_are_wrong_and_right(code: str) -> None:
    wrong, right = read(str(CODES[code].wrong), "f"), read(CODES[code].mend, "f")
    trap = wrong.trap(("must", 0))
    assert trap is not None
    assert trap.code == code
    assert right.trap(("must", 0)) is None
    assert parse(right.data["must"][0])


@pytest.mark.parametrize("code", ["assertion", "assertion-type", "unknown-fact", "unknown-operator", "regex"])
def test_the_examples_of_assertions_are_wrong_and_right(code: str) -> None:
    facts = {"status": Fact("number", ""), "latency": Fact("duration", ""), "body": Fact("json", "")}
    with pytest.raises(ExpressionError) as caught:
        parse(str(CODES[code].wrong), facts)
    assert caught.value.code == code
    assert parse(CODES[code].mend, facts)
