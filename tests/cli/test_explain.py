"""What every word means: problem codes, faults and kinds."""

import pytest

from probes.core.diagnostics import CODES
from probes.core.fault import ADVICE, FAULTS
from probes.kinds import KINDS
from tests.cli.command import document, probes


def test_a_kind_tells_all_it_takes_and_sees(tmp_path):
    kind = KINDS["dns"]
    page = document("explain", "dns", "--json", cwd=tmp_path)
    assert (page["word"], page["sort"], page["text"]) == ("dns", "kind", kind.summary)
    assert (page["short"], page["must"]) == (f"dns: {kind.example}", list(kind.must))
    keys = {key["key"]: key for key in page["keys"]}
    assert set(keys) == set(kind.target.model_fields)
    assert (keys["name"]["required"], keys["transport"]["default"]) == (True, "udp")
    assert {fact["fact"]: fact["type"] for fact in page["facts"]}["answers"] == "list of text"
    assert set(kind.facts) == {fact["fact"] for fact in page["facts"]}
    text = probes("explain", "dns", cwd=tmp_path).stdout
    lines = [" ".join(line.split()) for line in text.splitlines()]
    for line in ("dns (kind)", kind.summary, f"dns: {kind.example}", 'Without a `must` of its own: rcode == "NOERROR"'):
        assert line in lines
    assert any(line.startswith("name text required") for line in lines)
    assert any(line.startswith("answers list of text the records") for line in lines)


def test_a_fault_tells_what_to_do(tmp_path):
    assert set(ADVICE) == set(FAULTS)
    assert "Renew the certificate" in probes("explain", "tls.expired", cwd=tmp_path).stdout
    assert "Renew the certificate" in document("explain", "tls.expired", "--json", cwd=tmp_path)["text"]


@pytest.mark.parametrize("word", [*KINDS, *FAULTS, *CODES])
def test_every_word_has_its_page(tmp_path, word):
    assert len(probes("explain", word, cwd=tmp_path).stdout.splitlines()) > 1
    assert document("explain", word, "--json", cwd=tmp_path)["text"]


@pytest.mark.parametrize(
    ("word", "meant"), [("heartbaet", "heartbeat"), ("tls.expird", "tls.expired"), ("unknwon-key", "unknown-key")]
)
def test_a_word_is_guessed(tmp_path, word, meant):
    assert f"did you mean `{meant}`?" in probes("explain", word, cwd=tmp_path, code=2).stderr


def test_without_a_word_all_are_listed(tmp_path):
    listed = {(page["word"], page["sort"]) for page in document("explain", "--json", cwd=tmp_path)}
    assert listed == {(name, "kind") for name in KINDS} | {(name, "fault") for name in FAULTS} | {(name, "code") for name in CODES}
    assert len(probes("explain", cwd=tmp_path).stdout.splitlines()) == len(listed) + 1
