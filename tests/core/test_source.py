"""YAML as data with places; every mistake is one problem at the right place."""

import json
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.core.diagnostics import CODES, render
from probes.core.source import Place, Rejected, read, scan


def refused(text: str | bytes) -> list[tuple[str, int, int]]:
    with pytest.raises(Rejected) as caught:
        read(text, "checks.yaml")
    for problem in caught.value.problems:
        assert problem.code in CODES
        assert render(problem, text.split("\n") if isinstance(text, str) else [])
    return [(problem.code, problem.line, problem.column) for problem in caught.value.problems]


TEXTS = "on off yes no NO Yes y n 12:30 1:20:30 0777 -012 00.5 2024-01-01 0b11 1_000 0o8 0xg + . .e1 _1"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((text, text) for text in TEXTS.split()),
        *((text, None) for text in ("null", "Null", "NULL", "~", "")),
        *((text, True) for text in ("true", "True", "TRUE")),
        *((text, False) for text in ("false", "False", "FALSE")),
        ("0", 0), ("-0", 0), ("+5", 5), ("12", 12), ("0o17", 15), ("0x1F", 31), ("123456789012345678", 123456789012345678),
        ("1.5", 1.5), ("-.5", -0.5), ("1.", 1.0), ("1e3", 1000.0), ("1.5E-3", 0.0015), ("0.1", 0.1),
        ("'12'", "12"), ('"true"', "true"), ("''", ""), ("tRUE", "tRUE"), ("<<x", "<<x"), ("60s", "60s"),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    found = read(f"a: {text}\n", "f").data["a"]
    assert found == value
    assert type(found) is type(value)


EXAMPLE = dedent("""\
    version: 1
    checks:
      quote:
        must:
          - status == 201
          - latency < 300
        tags: [a, 'b']
      home: {every: 60}
    """)


def test_places_of_values_and_keys() -> None:
    source = read(EXAMPLE, "checks.yaml")
    assert source.place(("version",)) == Place("checks.yaml", 1, 10)
    assert source.key(("version",)) == Place("checks.yaml", 1, 1)
    assert source.place(("checks", "quote", "must", 1)) == Place("checks.yaml", 6, 9)
    assert source.key(("checks", "quote", "must", 1)) == Place("checks.yaml", 6, 9)
    assert source.key(("checks", "quote", "must")) == Place("checks.yaml", 4, 5)
    assert source.place(("checks", "quote", "tags", 1)) == Place("checks.yaml", 7, 15)
    assert source.place(("checks", "home", "every")) == Place("checks.yaml", 8, 17)
    assert source.key(("checks", "home", "every")) == Place("checks.yaml", 8, 10)
    assert source.place(()) == Place("checks.yaml", 1, 1)
    assert source.place(("checks", "gone", "deep", 3)) == source.place(("checks",))
    assert source.key(("checks", "gone")) == source.place(("checks",))
    assert source.line(6) == "      - latency < 300"


def test_places_through_anchors_aliases_and_merges() -> None:
    source = read("a: &x {b: 1, c: 2}\nd:\n  <<: *x\n  c: 3\ne: *x\n", "f")
    assert source.data == {"a": {"b": 1, "c": 2}, "d": {"c": 3, "b": 1}, "e": {"b": 1, "c": 2}}
    assert source.place(("a",)) == Place("f", 1, 7)
    assert source.place(("d", "b")) == Place("f", 1, 11)
    assert source.key(("d", "b")) == Place("f", 1, 8)
    assert source.place(("d", "c")) == Place("f", 4, 6)
    assert source.place(("e",)) == Place("f", 5, 4)
    assert source.place(("e", "c")) == Place("f", 1, 17)


def test_the_first_of_several_merges_wins_and_own_keys_win_over_all() -> None:
    text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {z: 3, <<: [*a, *b]}\n"
    assert read(text, "f").data["c"] == {"x": 1, "y": 1, "z": 3}


def test_a_byte_order_mark_and_every_line_ending_are_fine() -> None:
    for text in ("\ufeffa: 1\nb: 2\n", "a: 1\r\nb: 2\r\n", "a: 1\rb: 2", b"\xef\xbb\xbfa: 1\nb: 2", "---\na: 1\nb: 2\n...\n"):
        source = read(text, "f")
        assert source.data == {"a": 1, "b": 2}
        assert source.place(("b",)).column == 4
        assert source.key(("a",)).column == 1


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("a:\n\tb: 1\n", [("yaml", 2, 1)]),
        ("a: {{ x }}/b\n", [("yaml", 1, 4)]),
        ("a: {{ x }}\n", [("yaml", 1, 4)]),
        ("a: [${{ var.x }}, b]\n", [("yaml", 1, 5)]),
        ("a: {x: ${{ var.y }}}\n", [("yaml", 1, 8)]),
        ('a: "abc\nb: 1\n', [("yaml", 1, 4)]),
        ("a: 'abc\n", [("yaml", 1, 4)]),
        ("a: [1, 2\nb: 1\n", [("yaml", 1, 4)]),
        ("a: {b: 1\nc: 2\n", [("yaml", 1, 4)]),
        ("a: @x\n", [("yaml", 1, 4)]),
        ("a: `x`\n", [("yaml", 1, 4)]),
        ("a: %x\n", [("yaml", 1, 4)]),
        ("a: b: c\n", [("yaml", 1, 5)]),
        ("a: *.example.com\n", [("yaml", 1, 4)]),
        ("a: *gone\n", [("yaml", 1, 4)]),
        ("a: > 5\n", [("yaml", 1, 4)]),
        ('a: "x" y\n', [("yaml", 1, 8)]),
        ("a:\n  - 1\n b: 2\n", [("yaml", 3, 2)]),
        ("a: 1\nb\n", [("yaml", 2, 1)]),
        ('a: "\\d"\n', [("yaml", 1, 5)]),
        ('a: "\\ud83d\\ude00"\n', [("yaml", 1, 5)]),
        ("a: 1\n---\nb: 1\n", [("yaml", 2, 1)]),
        ("a: !!python/object:os.system x\n", [("tag", 1, 4)]),
        ("a: !Ref x\n", [("tag", 1, 4)]),
        ("a: !no!x y\n", [("tag", 1, 4)]),
        ("a: &a [1, *a]\n", [("alias-loop", 1, 11)]),
        ("a: &a {b: {c: *a}}\n", [("alias-loop", 1, 15)]),
        ("", [("empty", 1, 1)]),
        ("# only\n", [("empty", 1, 1)]),
        ("- a\n", [("type", 1, 1)]),
        ("text\n", [("type", 1, 1)]),
        ("a: .nan\nb: -.inf\nc: 1e999\n", [("value", 1, 4), ("value", 2, 4), ("value", 3, 4)]),
        ("a: " + "9" * 31, [("value", 1, 4)]),
        ("a: x\x07y\n", [("encoding", 1, 5)]),
        ("a: x\u2028y\n", [("encoding", 1, 5)]),
        ("a: x\ud800y\n", [("encoding", 1, 5)]),
        ("a: x\ufeffy\n", [("encoding", 1, 5)]),
        (b"a: 1\nb: \xff\n", [("encoding", 2, 4)]),
        ("a: 1\n".encode("utf-16"), [("encoding", 1, 1)]),
        ("1: a\ntrue: b\nnull: c\n? [x]\n: d\n",
         [("not-text-key", 1, 1), ("not-text-key", 2, 1), ("not-text-key", 3, 1), ("not-text-key", 4, 3)]),
        ("a: {<<: 3}\n", [("type", 1, 9)]),
        ("a: 1\nb: {c: 1,\n  c: 2}\na: 3\n", [("duplicate-key", 3, 3), ("duplicate-key", 4, 1)]),
    ],
)  # fmt: skip
def test_each_mistake_is_a_problem_at_its_place(text: str | bytes, problems: list[tuple[str, int, int]]) -> None:
    assert refused(text) == problems


def test_duplicate_keys_name_both_lines_and_do_not_stop_the_rest() -> None:
    source, problems = scan("checks:\n  a: 1\n  b: 2\n  a: 3\n404: x\n", "f")
    assert source is not None
    assert [p.code for p in problems] == ["duplicate-key", "not-text-key"]
    assert "line 2" in problems[0].message
    assert "lines 2 and 4" in str(problems[0].hint)
    assert problems[0].path == "checks.a"
    assert source.data == {"checks": {"a": 3, "b": 2}, "404": "x"}


def test_the_mend_of_an_unquoted_reference_is_said() -> None:
    _, problems = scan("a: [${{ var.x }}]\n", "f")
    assert problems[0].hint == 'put quotes around the value: "${{ var.name }}"'


def test_a_line_that_became_a_mapping() -> None:
    for text in (
        'must:\n  - body.message == "error: none"\n',
        'must:\n  - body.message == "error: none"  # why\n',
        'must: [body.message == "error: none"]\n',
    ):
        source, _ = scan(text, "f")
        assert source is not None
        trap = source.trap(("must", 0))
        assert trap is not None
        assert (trap.code, trap.path) == ("mapping-line", "must[0]")
        assert trap.hint == "put single quotes around the whole line: 'body.message == \"error: none\"'"
    assert trap.column == 8


def test_a_line_that_was_cut_by_a_comment() -> None:
    source = read("must:\n  - body.title == \"it's #1\"  # why\n  - status == 20 # fine\n  - 'x'\n", "f")
    trap = source.trap(("must", 0))
    assert trap is not None
    assert (trap.code, trap.line, trap.column) == ("comment-line", 2, 25)
    assert trap.hint == "put single quotes around the whole line: 'body.title == \"it''s #1\"'"
    assert source.trap(("must", 1)) is None
    assert source.trap(("must", 2)) is None


def test_styles() -> None:
    source = read("a: x\nb: 'x'\nc: |\n  x\nd: [x]\ne: {x: y}\n", "f")
    assert [source.style((name,)) for name in "abcde"] == ["plain", "quoted", "block", "list", "mapping"]


@pytest.mark.parametrize(
    "scalar",
    [
        "status == X1",
        "'status == X1'",
        '"status == X1"',
        "'it''s ''quoted'' X1'",
        '"\\"a\\" \\u00e9\\x41\\U0001F600\\n X1"',
        "|\n    status ==\n    then X1",
        "|-\n\n    status == X1\n",
        ">-\n    folded text\n    goes on X1",
        "plain text\n    goes on X1",
        "plain text\n\n\n    goes on X1",
        '"quoted text\n    goes on \\\n    and X1"',
        "&anchor status == X1",
        "日本 😀 X1",
    ],
)
def test_offsets_inside_text_find_their_place_in_the_file(scalar: str) -> None:
    text = f"a: 1\nb:\n  c: {scalar}\n"
    source = read(text, "f")
    value = source.data["b"]["c"]
    place = source.column_in(("b", "c"), value.index("X1"))
    assert source.line(place.line)[place.column - 1 :].startswith("X1")


seen = st.text(st.characters(exclude_categories=("C", "Zl", "Zp")), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False) | seen,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(seen, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(seen, values, min_size=1, max_size=4))
@settings(max_examples=150)
def test_json_is_read_as_it_is(data: dict[str, Any]) -> None:
    source, problems = scan(json.dumps(data, ensure_ascii=False), "f")  # JSON is YAML 1.2
    assert problems == ()
    assert source is not None
    assert source.data == data
    for path in paths(data):
        place = source.place(path)
        assert place.line == 1


def paths(data: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    found = [path]
    for key, value in data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ():
        found += paths(value, (*path, key))
    return found


yamlish = st.text(alphabet=st.sampled_from("ab1:- \n\t{}[],&*!|>'\"%@`#?<~.\\é\u2028\x00$"), max_size=60)


@given(st.one_of(yamlish, st.text(max_size=60), st.binary(max_size=60)))
@settings(max_examples=600, deadline=None)
def test_whatever_comes_is_data_or_problems(text: str | bytes) -> None:
    source, problems = scan(text, "f")
    assert source is not None or problems
    lines = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    for problem in problems:
        assert problem.code in CODES
        assert problem.line >= 1
        assert problem.column >= 1
        assert render(problem, lines.split("\n"))
    if source is not None:
        for path in paths(source.data):
            place = source.place(path)
            assert 1 <= place.line <= len(source.lines)
            source.key(path)
            source.trap(path)
            source.column_in(path, 3)
