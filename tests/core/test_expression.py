"""Assertions: the grammar round-trips, types are held at load, and nothing that is missing or unlike ever passes."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.core.diagnostics import CODES
from probes.core.expression import MISSING, Assertion, Captured, ExpressionError, Subject, parse, subject
from probes.core.grammar import OPERATORS, literal, quoted
from probes.core.kind import Fact
from probes.core.units import Duration, Size

FACTS = {
    "status": Fact("number", "status code"),
    "latency": Fact("duration", "first byte sent to last byte read"),
    "size": Fact("size", "bytes of the body"),
    "body": Fact("json", "the body"),
    "header": Fact("map", "headers"),
    "answers": Fact("list", "texts"),
    "ports": Fact("list", "numbers", of="number"),
    "trusted": Fact("boolean", "whether the chain is trusted"),
    "rcode": Fact("text", "response code"),
}
SEEN: dict[str, Any] = {
    "status": 503,
    "latency": Duration(1.2345678),
    "size": Size(65536),
    "trusted": True,
    "rcode": "NOERROR",
    "answers": ["203.0.113.10", "203.0.113.11"],
    "header": {"content-type": "application/json"},
    "body": {"total": 5, "none": None, "list": [1, "a", [1, 2]], "true": True, "text": "error: none #1", "key": {"x y": 1}},
}  # fmt: skip
SEEN["body"]["big"] = 2**53 + 1
CAPTURES = {"login": {"id": 503, "token": "a\"b' == 1", "none": None, "list": [1, "a", [1, 2]]}}


@pytest.mark.parametrize(
    ("line", "canonical"),
    [
        ("status == 201", None),
        ("  status   ==201 ", "status == 201"),
        ("latency < 300ms", None),
        ("latency < 0.3s", "latency < 300ms"),
        ("latency <= 90s", "latency <= 1m30s"),
        ("latency > -1d", None),
        ("size < 64KB", None),
        ("size < 65536B", "size < 64KB"),
        ("body.items[0].id != null", None),
        ("body . items", None),
        ("body['items'] [ 0 ] == 'x'", None),
        ('body["items"][ 0 ]["x y"] == 1', 'body.items[0]["x y"] == 1'),
        ("header.Content-Type contains 'json'", 'header.content-type contains "json"'),
        ('header contains "X-Id"', 'header contains "x-id"'),
        ('answers not  contains "x"', 'answers not contains "x"'),
        ("status in [200,204]", "status in [200, 204]"),
        ("status not in [ 500 ]", "status not in [500]"),
        ("len( body.items )>=3", "len(body.items) >= 3"),
        ("body.reference == step.login.id", None),
        ('body.x == "a\\u00e9\\n\\/\\ud83d\\ude00"', 'body.x == "aé\\n/😀"'),
        ("body.x == 'it\\'s \"quoted\"'", 'body.x == "it\'s \\"quoted\\""'),
        ("body.x == [[1, 'a'], [], null, true]", 'body.x == [[1, "a"], [], null, true]'),
        ("body.x == 1e3", "body.x == 1000.0"),
        ("body.x == -0.5", None),
        ('rcode matches "^NO"', None),
        ('rcode not matches "\\\\d+"', None),
        ("body.2024 == 1", None),
        ('body.x == "\\u0024{{ x }}"', None),
    ],
)
def test_canonical_text(line: str, canonical: str | None) -> None:
    if canonical is None and line in ("body . items", "body['items'] [ 0 ] == 'x'"):
        with pytest.raises(ExpressionError):
            parse(line, FACTS)
        return
    assertion = parse(line, FACTS)
    assert str(assertion) == (canonical or line)
    assert parse(str(assertion), FACTS) == assertion
    assert parse(str(assertion)) == assertion
    assert hash(parse(str(assertion))) == hash(assertion)


keys = st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True) | st.text(st.characters(exclude_categories=("Cs",)), max_size=6)
subjects = st.builds(
    Subject,
    st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,8}", fullmatch=True).filter(lambda name: name != "len"),
    st.lists(keys | st.integers(0, 999_999_999), max_size=3).map(tuple),
    st.booleans(),
)
captured = st.builds(
    Captured, st.from_regex(r"[a-z0-9][a-z0-9-]{0,6}", fullmatch=True), st.from_regex(r"[A-Za-z0-9_-]{1,6}", fullmatch=True)
)
scalars = st.one_of(
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=10),
    st.integers(0, 10**15).map(lambda us: Duration(round(us / 1e6, 6))),
    st.integers(0, 1 << 50).map(Size),
    captured,
)
nested = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4).map(tuple), max_leaves=8)
ORDERS = [operator for operator in OPERATORS if operator not in ("in", "not in", "matches", "not matches")]
assertions = st.one_of(
    st.builds(Assertion, subjects, st.sampled_from(ORDERS), nested),
    st.builds(Assertion, subjects, st.sampled_from(["==", "!="]), st.none()),
    st.builds(Assertion, subjects, st.sampled_from(["in", "not in"]), st.lists(nested, min_size=1, max_size=4).map(tuple)),
    st.builds(Assertion, subjects, st.sampled_from(["matches", "not matches"]), st.sampled_from(["^a+$", "é\\d", '["\\\\]'])),
)


@given(assertions)
@settings(max_examples=500)
def test_canonical_text_round_trips(assertion: Assertion) -> None:
    text = str(assertion)
    if len(text) > 2000:
        return
    again = parse(text)
    assert again == assertion
    assert str(again) == text
    assert (again.subject, again.operator) == (assertion.subject, assertion.operator)
    assert literal(again.value) == literal(assertion.value)
    assert text.isprintable()


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=30))
def test_texts_round_trip(text: str) -> None:
    assert parse(f"x == {quoted(text)}").value == text


WORDS = "status body . [ ] 0 len( ) == < not in contains matches \" ' \\ u00e9 300ms - 1e9 null true step.a.b , ${{ é ( *".split()
grammarish = st.lists(st.sampled_from([*WORDS, " ", "not ", "\n", "\ud800", "9" * 40]), max_size=12).map("".join)


@given(grammarish | st.text(max_size=40))
@settings(max_examples=1000, deadline=None)
def test_any_text_is_an_assertion_or_its_own_error(text: str) -> None:
    for facts in (None, FACTS):
        try:
            assertion = parse(text, facts)
        except ExpressionError as error:
            column, code = error.column, error.code
        else:
            column, code = 0, "assertion"
            assert parse(str(assertion), facts) == assertion
            holds, because = assertion.check(SEEN, CAPTURES)
            assert isinstance(holds, bool)
            assert because
        assert 0 <= column <= len(text)
        assert code in CODES


@pytest.mark.parametrize(
    ("line", "code", "at", "message", "hint"),
    [
        ("latecny < 300ms", "unknown-fact", "latecny", "there is no fact `latecny` here", "did you mean `latency`?"),
        ("latency < 300", "assertion-type", "300", "`latency` is a duration, but 300 is not", "write 300ms or 300s"),
        ("latency < 64KB", "assertion-type", "64KB", "`latency` is a duration, but 64KB is not", "write a duration, such as 300ms"),
        (
            'latency < "300ms"',
            "assertion-type",
            '"300',
            '`latency` is a duration, but "300ms" is not',
            "write 300ms without quotes",
        ),
        ("size < 64", "assertion-type", "64", "`size` is a size, but 64 is not", "write 64B or 64KB"),
        ("size < 64kb", "unit", "64kb", "`64kb` is not a number, a duration or a size", "write 64KB"),
        ("latency < 5min", "unit", "5min", None, "write 5m"),
        ('status == "200"', "assertion-type", '"200"', '`status` is a number, but "200" is not', "write 200 without quotes"),
        ("status == true", "assertion-type", "true", "`status` is a number, but true is not", None),
        ("status == [200]", "assertion-type", "[200]", "`status` is a number, but [200] is not", "write status in [200]"),
        ("rcode == 5", "assertion-type", "5", "`rcode` is text, but 5 is not", 'write "5"'),
        ('rcode < "x"', "assertion-type", "<", "`rcode` is text, and `<` is not for that", None),
        ('trusted == "true"', "assertion-type", '"true"', '`trusted` is a boolean, but "true" is not', "write true or false"),
        ("trusted == 1", "assertion-type", "1", "`trusted` is a boolean, but 1 is not", "write true or false"),
        ("trusted < true", "assertion-type", "<", None, None),
        ('status contains "2"', "assertion-type", "contains", "`status` is a number, and `contains` is not for that", None),
        ("status matches '2'", "assertion-type", "matches", None, None),
        ("answers in ['x']", "assertion-type", "in ", None, 'write answers contains "x", one line for each value'),
        ("answers == 'x'", "assertion-type", "'x'", '`answers` is a list, but "x" is not', 'write answers contains "x"'),
        ("answers contains 5", "assertion-type", "5", "`answers` holds text, but 5 is not", 'write "5"'),
        ("answers == ['x', 5]", "assertion-type", "5", None, None),
        ("ports contains '5'", "assertion-type", "'5'", None, "write 5 without quotes"),
        ("status in [200, 'a']", "assertion-type", "'a'", '`status` is a number, but "a" is not', None),
        ("status in 200", "assertion-type", "200", "`in` takes a list", "write status in [200]"),
        ("status in []", "assertion-type", "[]", None, None),
        ("status in [1, null]", "assertion-type", "[1", None, None),
        ("status < null", "assertion-type", "null", "null goes only with == and !=", "write status != null"),
        ("header == 'x'", "assertion-type", "==", "`header` is a map of texts, and `==` is not for that", None),
        ("header.x == 5", "assertion-type", "5", "`header.x` is text, but 5 is not", 'write "5"'),
        ("header.x.y == 'a'", "assertion-type", "y", "`header.x` is text, and has no part `y`", None),
        ("header[0] == 'a'", "assertion-type", "0", None, None),
        ("status.x == 1", "assertion-type", "x", "`status` is a number, and has no part `x`", "write status"),
        ("answers.x == 1", "assertion-type", "x", None, "write answers[0]"),
        ("len(status) > 1", "assertion-type", "status)", "`status` is a number, and has no length", None),
        ("len(answers) > '1'", "assertion-type", "'1'", None, None),
        ("len(len(body)) > 1", "assertion", "len(body", None, None),
        ("len(body > 1", "assertion", "> 1", None, "write len(body)"),
        ("status = 200", "unknown-operator", "=", "there is no operator `=`", "did you mean `==`?"),
        ("status =< 200", "unknown-operator", "=<", None, "did you mean `<=`?"),
        ("body is 200", "unknown-operator", "is", None, "did you mean `==`?"),
        ("body containz 'a'", "unknown-operator", "containz", None, "did you mean `contains`?"),
        ("body not contain 'a'", "unknown-operator", "not contain", None, "did you mean `not contains`?"),
        ("status + 1 == 3", "unknown-operator", "+", None, None),
        ("status == 200 and size < 5B", "assertion", "and", None, "write two lines: a list of assertions means and"),
        ("status == 200 or status == 204", "assertion", "or", None, None),
        ("status == 200 201", "assertion", "201", None, None),
        ("connected", "assertion", "", None, None),
        ("body ==", "assertion", "", "after `==` a value is missing", None),
        ("", "assertion", "", None, None),
        ("rcode == NOERROR", "assertion", "NOERROR", "text needs quotes, but `NOERROR` has none", 'write "NOERROR"'),
        ("trusted == True", "assertion", "True", None, "write true"),
        ("body == None", "assertion", "None", None, "write null"),
        ("body == step.login", "assertion", "step", None, "write step.login.token"),
        ("status == 99.9%", "assertion", "99.9%", None, "write 99.9"),
        ("body == 2024-01-01", "assertion", "2024", None, 'write "2024-01-01" if it is text'),
        ("body == 1e999", "assertion", "1e999", None, None),
        ("latency < 40000d", "unit", "40000d", None, None),
        ("body == 'x", "assertion", "'x", "this ' quote is not closed", None),
        ("body == [1, 2", "assertion", "", None, None),
        ("body == [1,]", "assertion", "]", None, None),
        ("body[-1] == 1", "assertion", "-1", None, None),
        ("body[0 == 1", "assertion", "== 1", None, None),
        ("body. == 1", "assertion", " == 1", None, None),
        ('body == "\\ud800"', "assertion", '"', None, None),
        ('body == "\\d"', "assertion", "\\d", None, None),
        ('body matches "\\d"', "assertion", "\\d", None, "write the backslash twice: \\\\d"),
        ('body matches "a(?=b)"', "regex", "(?=", None, "write two assertions, such as matches and not matches"),
        ('body matches "a[z-a]"', "regex", "z-a", None, None),
        ('body matches "(a)\\\\1"', "regex", "\\1", None, "write the expression without them"),
        ('body matches ".{900}"', "regex", ".{", None, "use smaller repetitions"),
        ("body matches 5", "assertion-type", "5", None, None),
        ("body matches step.a.b", "assertion-type", "step", None, None),
        ('body == "${{ var.x }}"', "template", "${{", None, None),
        ("body == " + "[" * 20, "limit", None, None, None),
        ("body == '" + "x" * 2000 + "'", "limit", None, None, None),
    ],
)
def test_each_mistake_has_its_code_column_and_mend(
    line: str, code: str, at: str | None, message: str | None, hint: str | None
) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(line, FACTS)
    error = caught.value
    assert (error.code, error.message) == (code, message or error.message)
    assert error.hint == (hint or error.hint)
    if at is not None:
        assert line[error.column :].startswith(at)
        assert at or error.column == len(line)


@pytest.mark.parametrize(
    ("line", "holds", "because"),
    [
        ("status == 503", True, "status was 503"),
        ("status == 503.0", True, "status was 503"),
        ("status != 503", False, "status was 503"),
        ("status < 504", True, "status was 503"),
        ("status >= 504", False, "status was 503"),
        ("status in [200, 503]", True, "status was 503"),
        ("status not in [200, 503]", False, "status was 503"),
        ("status not in [200]", True, "status was 503"),
        ("latency < 300ms", False, "latency was 1.235s"),
        ("latency <= 1234.6ms", True, "latency was 1.234568s"),
        ("size < 64KB", False, "size was 64KB"),
        ("size <= 64KB", True, "size was 64KB"),
        ("trusted == true", True, "trusted was true"),
        ("trusted != true", False, "trusted was true"),
        ('rcode == "NOERROR"', True, 'rcode was "NOERROR"'),
        ('rcode matches "^NO"', True, 'rcode was "NOERROR"'),
        ('rcode not matches "^NO"', False, 'rcode was "NOERROR"'),
        ('answers contains "203.0.113.10"', True, 'answers was ["203.0.113.10", "203.0.113.11"]'),
        ('answers contains "203.0.113.1"', False, 'answers was ["203.0.113.10", "203.0.113.11"]'),
        ('answers not contains "x"', True, 'answers was ["203.0.113.10", "203.0.113.11"]'),
        ('answers[1] == "203.0.113.11"', True, 'answers[1] was "203.0.113.11"'),
        ("len(answers) == 2", True, "len(answers) was 2"),
        ('header.content-type contains "json"', True, 'header.content-type was "application/json"'),
        ('header.Content-Type contains "json"', True, 'header.content-type was "application/json"'),
        ('header contains "Content-Type"', True, 'header was {"content-type": "application/json"}'),
        ("len(header) == 1", True, "len(header) was 1"),
        ("body.list == [1.0, 'a', [1, 2]]", True, 'body.list was [1, "a", [1, 2]]'),
        ("body.list == [1, 'a', [1, 3]]", False, 'body.list was [1, "a", [1, 2]]'),
        ("body.list contains [1, 2]", True, 'body.list was [1, "a", [1, 2]]'),
        ("body.list contains true", False, 'body.list was [1, "a", [1, 2]]'),
        ("body.list[2][1] == 2", True, "body.list[2][1] was 2"),
        ('body.key["x y"] == 1', True, 'body.key["x y"] was 1'),
        ("body contains 'total'", True, None),
        ("body.text contains ': '", True, 'body.text was "error: none #1"'),
        ("body.big == 9007199254740993", True, "body.big was 9007199254740993"),
        ("body.big == 9007199254740992", False, "body.big was 9007199254740993"),
        ("body.big > 9007199254740992.0", True, "body.big was 9007199254740993"),
        # Captures.
        ("status == step.login.id", True, "status was 503, and step.login.id was 503"),
        ("status != step.login.id", False, "status was 503, and step.login.id was 503"),
        ("body.list == step.login.list", True, None),
        ("status in [1, step.login.id]", True, "status was 503"),
        ("body.text == step.login.token", False, 'body.text was "error: none #1", and step.login.token was "a\\"b\' == 1"'),
        ("status == step.login.gone", False, "step.login.gone was missing"),
        ("status != step.gone.id", False, "step.gone.id was missing"),
        ("status != step.login.none", False, "step.login.none was null"),
        ("status in [step.gone.id, 503]", False, "step.gone.id was missing"),
        # Nothing that is missing passes, whatever is said of it.
        *((f"body.errors {rest}", False, "body.errors was missing") for rest in (
            "== 1", "!= 1", "< 1", ">= 1", "in [1]", "not in [1]", 'contains "x"', 'not contains "x"',
            'matches "x"', 'not matches "x"',
        )),
        *((f"body.none {rest}", False, "body.none was null") for rest in ("== 1", "!= 1", "< 1", "not in [1]", 'not contains "x"')),
        ("body.list[9] != 1", False, "body.list[9] was missing"),
        ("body.list.x != 1", False, "body.list.x was missing"),
        ("body.total.x != 1", False, "body.total.x was missing"),
        ("len(body.total) < 9", False, "len(body.total) was missing"),
        ("len(body.none) < 9", False, "len(body.none) was null"),
        ("header.x-gone not contains 'a'", False, "header.x-gone was missing"),
        ("body.errors == null", True, "body.errors was missing"),
        ("body.errors != null", False, "body.errors was missing"),
        ("body.none == null", True, "body.none was null"),
        ("body.none != null", False, "body.none was null"),
        ("body.total == null", False, "body.total was 5"),
        ("body.total != null", True, "body.total was 5"),
        # Unlike things are never compared.
        ('body.total == "5"', False, 'body.total was 5, which cannot be compared with "5"'),
        ('body.total != "5"', False, 'body.total was 5, which cannot be compared with "5"'),
        ('body.total < "9"', False, 'body.total was 5, which cannot be compared with "9"'),
        ("body.total == true", False, "body.total was 5, which cannot be compared with true"),
        ("body.true == 1", False, "body.true was true, which cannot be compared with 1"),
        ("body.true < 2", False, "body.true was true, which cannot be compared with 2"),
        ("body.total < 9s", False, "body.total was 5, which cannot be compared with 9s"),
        ("body.total < 9KB", False, "body.total was 5, which cannot be compared with 9KB"),
        ('body.text < "z"', False, 'body.text was "error: none #1", which cannot be compared with "z"'),
        ("body.total not in ['5']", False, 'body.total was 5, which cannot be compared with ["5"]'),
        ("body.total not contains '5'", False, 'body.total was 5, which cannot be compared with "5"'),
        ("body.text not contains 5", False, 'body.text was "error: none #1", which cannot be compared with 5'),
        ("body.list not matches 'x'", False, None),
    ],
)  # fmt: skip
def test_judgement(line: str, holds: bool, because: str | None) -> None:
    verdict = parse(line, FACTS).check(SEEN, CAPTURES)
    assert verdict == (holds, because or verdict[1])


def test_a_missing_fact_fails_and_says_so() -> None:
    assert parse("status != 5", FACTS).check({}) == (False, "status was missing")
    assert parse("status == null", FACTS).check({}) == (True, "status was missing")


def test_a_body_that_is_not_json_is_named() -> None:
    assert parse("body.total == 5").check({"body": "<html>"}) == (False, "body.total was missing: body is not JSON")


@pytest.mark.parametrize("operator", ["==", "!=", "<", "<=", ">", ">="])
def test_nan_passes_nothing(operator: str) -> None:
    assert parse(f"body.x {operator} 1").check({"body": {"x": float("nan")}})[0] is False
    assert parse(f"latency {operator} 1s").check({"latency": Duration("nan")})[0] is False
    assert parse(f"body {operator} [1]").check({"body": [float("nan")]})[0] is (operator == "!=")


def test_infinity_is_ordered_and_shown() -> None:
    assert parse("latency < 1s").check({"latency": Duration("inf")}) == (False, "latency was inf")
    assert parse("body > 1").check({"body": float("inf")}) == (True, "body was inf")


@pytest.mark.parametrize(
    ("seconds", "line", "because"),
    [
        (0.29999, "latency < 300ms", "latency was 299.99ms"),
        (0.29999, "latency == 1s", "latency was 300ms"),
        (0.30004, "latency <= 300ms", "latency was 300.04ms"),
        (4.0003, "latency <= 4s", "latency was 4.0003s"),
        (4.0003, "latency <= 3s", "latency was 4s"),
        (1_000_000.123, "latency > 7d", "latency was 11d13h47m"),
        (100.4, "latency < 1m", "latency was 1m40s"),
    ],
)
def test_durations_are_rounded_for_the_reader_but_never_across_the_verdict(seconds: float, line: str, because: str) -> None:
    assert parse(line).check({"latency": Duration(seconds)})[1] == because


def test_values_are_cut_and_cannot_write_on_a_terminal() -> None:
    hostile = {"body": "\x1b]0;owned\x07\u202e" + "x" * 1_000_000}
    because = parse("body == 'a'").check(hostile)[1]
    assert len(because) < 240
    assert "\x1b" not in because
    assert "\u202e" not in because
    assert "(1,000,011 characters)" in because
    wide = parse("body == 'a'").check({"body": [{"k" * 500: ["v" * 500] * 500}] * 100_000})[1]
    assert len(wide) < 300
    huge = parse("body == 'a'").check({"body": 10**5000})[1]
    assert "about 5,000 digits" in huge


def test_half_a_surrogate_pair_from_json_is_safe() -> None:
    facts = {"body": {"x": "a\ud800b", "\ud800": 1}}
    assert parse("body.x matches 'b$'").check(facts) == (True, 'body.x was "a\\ud800b"')
    assert parse("body.x == 'b'").check(facts)[1].encode()
    assert parse("body == 'b'").check(facts)[1].encode()


def test_deep_json_is_compared_and_shown_without_recursion() -> None:
    deep: Any = 1
    other: Any = 1
    for _ in range(50_000):
        deep, other = [deep], [other]
    captures = {"a": {"b": other}}
    holds, because = parse("body == step.a.b").check({"body": deep}, captures)
    assert holds
    assert len(because) < 500
    assert parse("body != step.a.b").check({"body": [deep]}, captures)[0]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.floats(0, 1e9).map(Duration),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=6,
)


@given(json_values, st.sampled_from(OPERATORS), st.sampled_from(["1", '"a"', "true", "1s", "5B", "[1]", "[]", "step.a.b"]))
@settings(max_examples=500)
def test_no_operator_and_its_negation_both_hold(value: Any, operator: str, literal: str) -> None:
    positive = {"!=": "=="}.get(operator, operator.removeprefix("not "))
    negative = {"==": "!="}.get(positive, f"not {positive}")
    if negative not in OPERATORS or (positive == "in" and literal[:1] != "[") or literal == "[]" or positive == "matches":
        return
    facts, captures = {"x": value}, {"a": {"b": value}}
    one, _ = parse(f"x {positive} {literal}").check(facts, captures)
    other, _ = parse(f"x {negative} {literal}").check(facts, captures)
    assert not (one and other)


def test_subjects_for_captures() -> None:
    found = subject("body.items[0].id", FACTS)
    assert found == Subject("body", ("items", 0, "id"))
    assert found.read({"body": {"items": [{"id": 5}]}}) == 5
    assert found.read({"body": {"items": []}}) is MISSING
    assert found.read({}) is MISSING
    assert subject("header.X-Id", FACTS) == Subject("header", ("x-id",))
    for text, code in (("bdy.x", "unknown-fact"), ("status.x", "assertion-type"), ("body ==", "assertion"), ("", "assertion")):
        with pytest.raises(ExpressionError) as caught:
            subject(text, FACTS)
        assert caught.value.code == code
