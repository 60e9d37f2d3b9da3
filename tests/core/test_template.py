"""References are filled once, with their types, and nothing that is inserted becomes a reference."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.core import template
from probes.core.diagnostics import CODES
from probes.core.secret import Secret
from probes.core.template import Reference, Room, TemplateError, fill, references
from probes.core.units import duration

SCOPE: dict[str, Any] = {
    "var": {"api": "https://a.example", "n": 5, "f": 1.5, "yes": True, "nil": None},
    "secret": {"TOKEN": Secret("TOKEN", "s3cret")},
    "step": {"login": {"token": 'a"b${{ secret.TOKEN }}'}},
    "run": {"id": "quote@here/1"},
}
SCOPE["var"] |= {"list": [1, "x"], "map": {"k": "v"}, "wait": duration("5s")}


def test_references_have_places() -> None:
    text = "${{ var.api }}/${{secret.TOKEN}} $${{ var.x }} ${{ step.login.token }}"
    found = references(text)
    assert found[0] == Reference("var", "api", 0, 14)
    assert [(r.root, r.path, r.names) for r in found[1:]] == [
        ("secret", "TOKEN", ("TOKEN",)),
        ("step", "login.token", ("login", "token")),
    ]
    assert [text[r.start : r.end] for r in found] == ["${{ var.api }}", "${{secret.TOKEN}}", "${{ step.login.token }}"]


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("${{ var.api }}/v1", "https://a.example/v1"),
        ("${{ var.n }}", 5),
        ("${{ var.f }}", 1.5),
        ("${{ var.yes }}", True),
        ("${{ var.nil }}", None),
        ("${{ var.list }}", [1, "x"]),
        ("${{ var.map }}", {"k": "v"}),
        ("n=${{ var.n }} f=${{var.f}} ${{ var.yes }} ${{ var.nil }} ${{ var.wait }}", "n=5 f=1.5 true null 5s"),
        ("Bearer ${{ secret.TOKEN }}", "Bearer s3cret"),
        ("${{ secret.TOKEN }}", "s3cret"),
        ("${{ step.login.token }}", 'a"b${{ secret.TOKEN }}'),
        ("x${{ step.login.token }}", 'xa"b${{ secret.TOKEN }}'),
        ("$${{ var.api }}", "${{ var.api }}"),
        ("$$${{ var.api }}", "$${{ var.api }}"),
        ("{{ x }} ${x} $ }} {", "{{ x }} ${x} $ }} {"),
        ("", ""),
    ],
)
def test_fill(text: str, filled: Any) -> None:
    found = fill(text, SCOPE)
    assert found == filled
    assert type(found) is type(filled)


def test_nested_data_is_filled_and_keys_are_not() -> None:
    data = {"${{ var.api }}": ["${{ var.n }}", {"a": ("${{ run.id }}", 5, None, True)}]}
    assert fill(data, SCOPE) == {"${{ var.api }}": [5, {"a": ["quote@here/1", 5, None, True]}]}


def test_a_captured_quote_mark_stays_data() -> None:
    assert fill({"json": {"x": "<${{ step.login.token }}>"}}, SCOPE) == {"json": {"x": '<a"b${{ secret.TOKEN }}>'}}


def test_passes_keep_what_is_not_theirs_and_never_fill_what_was_inserted() -> None:
    scope = {"var": {"a": "x ${{ secret.TOKEN }} $${{ y", "m": {"k": ["${{ secret.TOKEN }}"]}}}
    data = {
        "t": "${{ var.a }}|${{ secret.TOKEN }}|$${{ lit }}",
        "whole": "${{ var.a }}",
        "m": "${{ var.m }}",
        "kept": "${{ run.id }}",
    }
    first = fill(data, scope, keep=("secret", "step", "run"))
    assert first["kept"] == "${{ run.id }}"
    assert fill(first, SCOPE) == {
        "t": "x ${{ secret.TOKEN }} $${{ y|s3cret|${{ lit }}",
        "whole": "x ${{ secret.TOKEN }} $${{ y",
        "m": {"k": ["${{ secret.TOKEN }}"]},
        "kept": "quote@here/1",
    }


dollars = st.lists(st.sampled_from(["$", "$$", "{{", "}}", "{", "${{ secret.TOKEN }}", "$${{", "x", " "]), max_size=4).map("".join)


@given(dollars, dollars, st.lists(st.sampled_from(["a", "b", "secret"]), max_size=4), dollars)
@settings(max_examples=500)
def test_two_passes_give_what_one_would(a: str, b: str, order: list[str], between: str) -> None:
    text = between.join({"a": "${{ var.a }}", "b": "${{ var.b }}", "secret": "${{ secret.TOKEN }}"}[name] for name in order)
    scope = {"var": {"a": a, "b": b}, "secret": {"TOKEN": "!"}}
    try:
        whole = fill(text, scope)
        halved = fill(fill(text, scope, keep=("secret",)), scope)
    except TemplateError:
        return
    assert halved == whole


def test_a_dollar_that_would_make_a_reference_is_refused() -> None:
    for text in ("${{ var.a }}{{ secret.TOKEN }}", "${{ var.a }}${{ secret.TOKEN }}"):
        with pytest.raises(TemplateError, match="beside it"):
            fill(text, {"var": {"a": "US$"}}, keep=("secret",))
        assert "US$" in fill(text, {"var": {"a": "US$"}, "secret": {"TOKEN": "x"}})


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("ab ${{ var.x", 3, "never closed"),
        ("ab ${{ var.x\n}}", 3, "never closed"),
        ("${{}}", 0, "empty"),
        ("${{   }}", 0, "empty"),
        ("${{ vars.x }}", 0, "no root `vars`"),
        ("${{ api }}", 0, "no root `api`"),
        ("${{ var }}", 0, "one name follows"),
        ("${{ var.a.b }}", 0, "one name follows"),
        ("${{ step.login }}", 0, "a step's id and a name"),
        ("${{ var.a + 1 }}", 0, "not a reference"),
        ("${{ var['a'] }}", 0, "not a reference"),
        ("${{ var.a | upper }}", 0, "not a reference"),
        ("x ${{ ${{ var.a }} }}", 2, "not a reference"),
    ],
)
def test_what_is_no_reference_is_refused_at_its_column(text: str, column: int, words: str) -> None:
    for use in (references, lambda text: fill(text, SCOPE)):
        with pytest.raises(TemplateError, match=words) as caught:
            use(text)
        assert caught.value.column == column
        assert caught.value.code in CODES


@pytest.mark.parametrize(
    ("text", "code", "hint"),
    [
        ("${{ var.apii }}", "unknown-variable", "did you mean `api`?"),
        ("${{ secret.TOKN }}", "unknown-secret", "did you mean `TOKEN`?"),
        ("${{ step.logn.token }}", "unknown-step", "did you mean `login`?"),
        ("${{ step.login.tokn }}", "unknown-step", "did you mean `token`?"),
        ("${{ run.idd }}", "template", None),
        ("a ${{ var.list }}", "template", "let the reference be the whole value"),
        ("a ${{ var.map }}", "template", "let the reference be the whole value"),
    ],
)
def test_what_cannot_be_filled_says_where_and_what(text: str, code: str, hint: str | None) -> None:
    with pytest.raises(TemplateError) as caught:
        fill({"a": [0, text]}, SCOPE)
    assert caught.value.path == ("a", 1)
    assert caught.value.code == code
    if hint:
        assert caught.value.hint == hint
    assert "s3cret" not in str(caught.value) + str(caught.value.hint)


def test_a_root_that_is_not_there_is_refused() -> None:
    with pytest.raises(TemplateError, match="`step` cannot be used here"):
        fill("${{ step.login.token }}", {"var": {}})


def test_a_long_variable_named_often_is_refused() -> None:
    with pytest.raises(TemplateError) as caught:
        fill(["${{ var.x }}!"] * 50, {"var": {"x": "y" * 100_000}})
    assert caught.value.code == "limit"
    room = Room()
    fill("${{ var.x }}", {"var": {"x": "y" * (template.ROOM - 1)}}, room=room)
    with pytest.raises(TemplateError):
        fill("${{ var.x }}", {"var": {"x": "yy"}}, room=room)


@given(st.text(alphabet="${} .varx\nsecret", max_size=40) | st.text(max_size=40))
@settings(max_examples=400)
def test_any_text_is_references_or_an_error(text: str) -> None:
    try:
        found = references(text)
    except TemplateError as error:
        found, column = [], error.column
    else:
        column = 0
    assert 0 <= column <= len(text)
    assert all(text[r.start : r.end].startswith("${{") and text[r.start : r.end].endswith("}}") for r in found)


@given(st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_data_without_references_is_unchanged(data: Any) -> None:
    if "${{" not in repr(data):
        assert fill(data, SCOPE) == data
