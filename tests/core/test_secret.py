"""A secret's value is not shown, in any of its disguises."""

import base64
import json
from typing import Any
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from probes.core.secret import MASK, Secret, disguises, scrub

VALUE = "hunter2/+ä secret"


def test_printing_never_shows_the_value() -> None:
    secret = Secret("TOKEN", VALUE)
    for text in (str(secret), repr(secret), f"{secret}", f"{secret!r}", str([secret]), str({"a": secret})):
        assert VALUE not in text
        assert "****" in text
    assert secret.reveal() == VALUE
    assert secret == Secret("OTHER", VALUE)
    assert secret != VALUE


def test_every_disguise_is_scrubbed_in_keys_and_values() -> None:
    raw = VALUE.encode()
    data = {
        "plain": f"Bearer {VALUE}!",
        VALUE: ["x", (VALUE,), {"deep": [f"{quote(VALUE, safe='')}&x=1"]}],
        "base64": base64.b64encode(raw).decode(),
        "url": base64.urlsafe_b64encode(raw).decode(),
        "hex": raw.hex(),
        "HEX": raw.hex().upper(),
        "number": 5,
        "none": None,
    }
    clean = scrub(data, [VALUE])
    text = repr(clean)
    for form in disguises(VALUE):
        assert form not in text
    assert clean["plain"] == f"Bearer {MASK}!"
    assert (clean["number"], clean["none"]) == (5, None)


def test_a_password_inside_basic_authentication_is_scrubbed() -> None:
    for user in ("a", "ab", "abc", "abcd"):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            header = encode(f"{user}:{VALUE}:tail".encode()).decode()
            clean = scrub(header, [VALUE])
            gone = len(header) - len(clean) + len(MASK)
            assert gone * 6 >= len(VALUE.encode()) * 8 - 10  # all but the bits shared with the neighbours


def test_a_value_inside_json_text_is_scrubbed() -> None:
    value = 'quo"te\\back\nline é'
    for text in (json.dumps({"a": value}), json.dumps({"a": value}, ensure_ascii=False)):
        assert scrub(text, [value]) == f'{{"a": "{MASK}"}}'


def test_the_longer_secret_goes_first_so_that_no_tail_is_left() -> None:
    assert scrub("abcdef", ["abc", "abcdef"]) == MASK


def test_nothing_to_scrub_changes_nothing() -> None:
    data = {"a": ["b"]}
    assert scrub(data, []) == data
    assert scrub(data, [""]) == data


texts = st.text(max_size=10)
jsons: Any = st.recursive(
    texts | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=10
)


@given(st.text(alphabet="abcdefghij", min_size=4, max_size=12), jsons)
def test_no_value_survives_anywhere(value: str, data: Any) -> None:
    hidden = {"k": data, f"x{value}y": [f"{value}{value}", value.encode().hex()]}
    text = json.dumps(scrub(hidden, [value]), ensure_ascii=False)
    assert value not in text
    assert value.encode().hex() not in text
