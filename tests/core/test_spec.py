"""Specification: what is accepted means what it says; what is refused says where and why, all at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from probes.channels import CHANNELS
from probes.core.check import Confirm, Objective, Retries
from probes.core.compile import compile, settings
from probes.core.diagnostics import CODES, Rejected, concealed, document, render
from probes.core.plan import Plan
from probes.core.schema import schema
from probes.core.spec import load
from probes.kinds import KINDS

BAD = Path(__file__).parent.parent / "bad"
SHAPES = {name: CHANNELS[name].config for name in CHANNELS}


def spec(text: str, **more: object):
    return load(text, KINDS, channels=SHAPES, **more)  # type: ignore[arg-type]  # keyword arguments of load


def plan(text: str, **more: object) -> Plan:
    return compile(spec(text, **more))


def problems(text: str, **more: object):
    with pytest.raises(Rejected) as rejected:
        spec(text, **more)
    return rejected.value.problems


def rendered(name: str) -> str:
    text = (BAD / f"{name}.yaml").read_text()
    found = problems(text, file=f"{name}.yaml")
    return "\n\n".join(render(problem, text.split("\n")) for problem in found) + "\n"


@pytest.mark.parametrize("name", sorted(path.stem for path in BAD.glob("*.yaml")))
def test_a_mistake_is_told_exactly(name):
    assert rendered(name) == (BAD / f"{name}.txt").read_text()


def test_every_problem_of_the_corpus_has_a_page():
    for path in BAD.glob("*.yaml"):
        for problem in problems(path.read_text(), file=path.name):
            assert problem.code in CODES, problem
            assert set(document(problem)) == {"severity", "code", "message", "file", "line", "column", "path", "hint"}


SMALL = """
version: 1
service: shop
variables: {api: https://api.shop.example, port: 8080}
locations: {dublin: aws:eu-west-1, virginia: aws:us-east-1}
defaults: {every: 2m, timeout: 5s, owner: team-platform, tags: [shop], confirm: {runs: 3, locations: any}}
groups:
  checkout: {owner: team-checkout, tags: [tier-1], runbook: https://wiki.shop.example/checkout, slo: 99.5% over 30d, timeout: 8s}
checks:
  quote:
    group: checkout
    every: 1m
    retries: {count: 1, wait: 500ms, on: network}
    tags: [money]
    http: GET ${{ var.api }}:${{ var.port }}/quote
    should: [ "latency   <  300ms" ]
  cert:
    tls: api.shop.example:443
    must: ['expires_in>7d']
"""


def test_nearest_wins_field_by_field_and_tags_add_up():
    quote = plan(SMALL).checks["quote"]
    assert (quote.every, quote.timeout, quote.owner) == (60.0, 8.0, "team-checkout")
    assert set(quote.tags) == {"money", "tier-1", "shop"}
    assert quote.confirm == Confirm(3, 3, "any", 2)
    assert quote.retries == Retries(1, 0.5, "network")
    assert quote.slo == Objective(99.5, 30 * 86400.0)
    assert quote.locations == ("dublin", "virginia")
    cert = plan(SMALL).checks["cert"]
    assert (cert.every, cert.timeout, cert.owner, cert.tags, cert.slo) == (120.0, 5.0, "team-platform", ("shop",), None)


def test_where_a_value_came_from_can_be_told():
    found = spec(SMALL)
    where = {field: place for field, (_, place) in settings(found, found.checks["quote"]).items()}
    assert (where["every"], where["timeout"], where["confirm"], where["paused"]) == (
        "check",
        "group checkout",
        "defaults",
        "built in",
    )


def test_variables_fill_targets_and_the_command_line_wins():
    assert "api.shop.example:8080/quote" in json.dumps(plan(SMALL).checks["quote"].target)
    assert "127.0.0.1:9" in json.dumps(plan(SMALL, variables={"api": "http://127.0.0.1", "port": "9"}).checks["quote"].target)
    assert [p.code for p in problems(SMALL, variables={"apo": "x"})] == ["unknown-variable"]


def test_a_check_without_must_gets_its_kinds_default_and_decides_nothing():
    quote, cert = (plan(SMALL).checks[name] for name in ("quote", "cert"))
    assert (quote.must, quote.should, quote.decides) == (("status < 400",), ("latency < 300ms",), None)
    assert cert.must == ("expires_in > 7d",)


def test_an_assertion_on_the_fact_that_states_the_fault_decides():
    text = "version: 1\nchecks: {gone: {dns: A gone.example, must: ['rcode == \"NXDOMAIN\"']}}"
    assert plan(text).checks["gone"].decides == 'rcode == "NOERROR"'


def test_the_same_text_is_the_same_plan_and_survives_json():
    first = plan(SMALL)
    assert first.digest == plan(SMALL).digest
    again = Plan.parse(json.loads(json.dumps(first.document())))
    assert again == first


def test_included_files_share_names_and_keep_their_lines():
    team = "checks:\n  cart:\n    group: checkout\n    http: GET ${{ var.api }}/cart\n    evry: 1m\n"
    text = SMALL.replace("version: 1\n", "version: 1\ninclude: [team.yaml]\n")
    (problem,) = problems(text, include=lambda pattern, file: [(pattern, team)])
    assert (problem.file, problem.line, problem.column, problem.code) == ("team.yaml", 5, 5, "unknown-key")
    good = plan(text, include=lambda pattern, file: [(pattern, team.replace("    evry: 1m\n", ""))])
    assert good.checks["cart"].owner == "team-checkout"


def test_a_name_in_two_files_names_both():
    text = SMALL.replace("version: 1\n", "version: 1\ninclude: [team.yaml]\n")
    team = "checks:\n  quote: {http: GET https://a.example}\n"
    (problem,) = problems(text, include=lambda pattern, file: [(pattern, team)])
    assert (problem.code, problem.file, problem.line) == ("duplicate-key", "team.yaml", 2)
    assert "checks.yaml:11" in problem.message


def test_an_include_that_goes_round_ends():
    text = SMALL.replace("version: 1\n", "version: 1\ninclude: [checks.yaml, a.yaml]\n")
    loops = {"a.yaml": "include: [a.yaml, checks.yaml]\n", "checks.yaml": text}
    assert set(plan(text, include=lambda pattern, file: [(pattern, loops[pattern])]).checks) == {"quote", "cert"}


def test_warnings_do_not_refuse():
    found = plan(SMALL)
    assert [warning.code for warning in found.warnings] == ["no-route"]


def test_an_incident_that_no_route_takes_is_warned_of():
    text = SMALL + "routes: [{when: ['severity == \"critical\"'], notify: [console]}]\n"
    (warning,) = plan(text).warnings
    assert warning.code == "no-route"
    assert "warning incidents of quote, cert" in warning.message


def test_no_secret_value_is_ever_in_a_message():
    value = "sk-live-0123456789abcdef"
    text = f"version: 1\nsecrets: {{A: {value}, B: [1]}}\nchecks: {{a: {{http: GET https://a.example}}}}"
    found = problems(text)
    lines = concealed(text.split("\n"), found)
    assert len(found) == 2
    assert all(value not in render(problem, lines) for problem in found)


def test_the_schema_knows_every_kind_and_channel():
    shape = schema(KINDS, SHAPES)
    assert json.loads(json.dumps(shape)) == shape
    text = json.dumps(shape)
    assert all(f'"{name}"' in text for name in (*KINDS, *CHANNELS))
