import re
import signal
import time

import pytest
from junitparser import Error, Failure, JUnitXml, Skipped

from tests.cli.command import Terminal, document, probes, process, started, until, web, write

ALL = """
good: {http: "GET ${{ var.web }}/ok", group: shop, tags: [smoke]}
slowish:
  http: GET ${{ var.web }}/ok
  should: [latency < 1ms, size > 1GB]
  tags: [smoke, extra]
bad: {http: "GET ${{ var.web }}/bad", must: [status == 201]}
ours:
  http: {url: "${{ var.web }}/ok", headers: {authorization: "Bearer ${{ secret.NOPE }}"}}
job: {every: 1h, heartbeat: {grace: 1m}}
off: {http: "GET ${{ var.web }}/ok", paused: true}
"""
HEAD = """
variables: {web: http://127.0.0.1:1}
secrets: {NOPE: env:NOBODY_SETS_THIS}
locations: {dublin: local, sydney: local}
groups: {shop: {owner: me}}
"""


@pytest.fixture
def shop(tmp_path):
    with web() as url:
        write(tmp_path, ALL, HEAD.replace("http://127.0.0.1:1", url))
        yield tmp_path


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["good"], 0),
        (["good", "slowish"], 0),
        (["good", "bad"], 1),
        (["good", "ours"], 3),
        (["bad", "ours"], 1),
        (["job"], 0),
        (["--tag", "smoke"], 0),
        (["nothing"], 2),
        (["--nonsense"], 2),
    ],
)
def test_the_exit_code_is_the_gate(shop, words, code):
    probes("run", *words, cwd=shop, code=code)


@pytest.mark.parametrize(("check", "code"), [("good", 0), ("bad", 1), ("nothing", 2), ("ours", 3)])
def test_the_exit_code_of_the_process(shop, check, code):
    process("run", check, cwd=shop, code=code)


def test_json_is_the_contract(shop):
    found = document("run", "--json", cwd=shop, code=1)
    assert (found["version"], found["service"], found["location"]) == (1, "shop", "here")
    assert found["summary"] == {"passed": 1, "degraded": 1, "failed": 1, "errored": 1, "skipped": 1}
    assert [result["check"] for result in found["results"]] == ["good", "slowish", "bad", "ours", "job"]
    bad = found["results"][2]
    keys = "run check kind location at outcome fault because attempt cold latency_ms total_ms phases_ms loop_lag_ms findings facts"
    assert set(bad) >= set(keys.split())
    assert re.fullmatch(r"bad@here/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", bad["run"])
    assert (bad["kind"], bad["outcome"], bad["fault"]) == ("http", "failed", None)
    assert bad["because"] == "status == 201 (status was 503)"
    assert bad["findings"] == [{"assertion": "status == 201", "level": "must", "holds": False, "because": "status was 503"}]
    assert bad["facts"]["status"] == 503
    assert isinstance(bad["latency_ms"], float)
    assert isinstance(bad["total_ms"], float)
    assert all(isinstance(value, float) for value in bad["phases_ms"].values())
    assert found["results"][3]["fault"] == "probe.secret"


def test_rejected_and_unknown_print_the_document_of_validate(shop):
    write(shop, "a: {http: GET http://127.0.0.1:1/, evry: 1h}")
    assert document("run", "--json", cwd=shop, code=2) == document("validate", "--json", cwd=shop, code=2)
    assert "did you mean `every`?" in probes("run", cwd=shop, code=2).stderr
    write(shop, "alpha: {http: GET http://127.0.0.1:1/}")
    found = document("run", "alhpa", "--json", cwd=shop, code=2)
    assert (found["ok"], found["problems"][0]["code"], found["problems"][0]["hint"]) == (
        False,
        "unknown-check",
        "did you mean `alpha`?",
    )
    assert "did you mean `alpha`?" in probes("run", "alhpa", cwd=shop, code=2).stderr


def test_text_says_what_was_seen_and_talk_is_on_stderr(shop):
    done = probes("run", cwd=shop, code=1)
    assert re.search(r"^passed +good +[\d.]+ ms$", done.stdout, re.MULTILINE)
    assert re.search(r"^failed +bad +[\d.]+ ms +status == 201 \(status was 503\)$", done.stdout, re.MULTILINE)
    assert re.search(r"^skipped +job .*waits to be called", done.stdout, re.MULTILINE)
    assert re.search(r"target: +http GET http://127.0.0.1:\d+/bad", done.stdout)
    assert done.stderr == "1 passed, 1 degraded, 1 failed, 1 errored, 1 skipped\n"
    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "checks"),
    [
        (["--tag", "extra"], ["slowish"]),
        (["--tag", "extra", "--tag", "smoke"], ["good", "slowish"]),
        (["--group", "shop"], ["good"]),
        (["good", "off"], ["good", "off"]),  # paused, but named
        (["checks.yaml", "good"], ["good"]),
        (["./checks.yaml", "good"], ["good"]),
    ],
)
def test_what_runs(shop, words, checks):
    assert [result["check"] for result in document("run", "--json", *words, cwd=shop)["results"]] == checks


@pytest.mark.parametrize(
    ("words", "hint"), [(["--tag", "smok"], "smoke"), (["--group", "shpo"], "shop"), (["--location", "dubln"], "dublin")]
)
def test_names_are_guessed(shop, words, hint):
    assert f"did you mean `{hint}`?" in probes("run", *words, cwd=shop, code=2).stderr


def test_location_names_the_runs(shop):
    found = document("run", "good", "--location", "sydney", "--json", cwd=shop)
    assert found["location"] == "sydney"
    assert found["results"][0]["run"].startswith("good@sydney/")


def test_variables_win_over_the_file(shop):
    with web() as other:
        assert (
            document("run", "good", "--var", f"web={other}", "--json", cwd=shop)["results"][0]["evidence"]["url"] == f"{other}/ok"
        )


def test_explain_shows_settings_origins_and_facts(shop):
    done = probes("run", "good", "--explain", cwd=shop)
    for part in ("every:      1m  (built in)", "owner:      me  (group shop)", "status < 400  holds: status was 200", "tags:"):
        assert part in done.stdout


def test_junit(shop):
    probes("run", "--junit", "out/report.xml", cwd=shop, code=1)
    (suite,) = JUnitXml.fromfile(str(shop / "out/report.xml"))
    cases = {case.name: case for case in suite}
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (5, 1, 1, 1)
    assert [type(one) for one in cases["bad"].result] == [Failure]
    assert cases["bad"].result[0].message == "status == 201 (status was 503)"
    assert [type(one) for one in cases["ours"].result] == [Error]
    assert [type(one) for one in cases["job"].result] == [Skipped]
    assert cases["slowish"].result == []
    assert "outcome: degraded" in cases["slowish"].system_out
    assert cases["good"].classname == "shop.shop"
    assert "cannot be written" in probes("run", "good", "--junit", "checks.yaml/x", cwd=shop, code=2).stderr


def test_hostile_text_in_reports(shop):
    with web() as url:
        write(shop, f"evil: {{http: GET {url}/evil, must: [body.name == 'shop']}}")
        done = probes("run", "--junit", "r.xml", "--github", cwd=shop, code=1)
    assert "\\x1b[31mred\\u202e" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr + (shop / "r.xml").read_text()
    assert len(JUnitXml.fromfile(str(shop / "r.xml"))) == 1


def test_github_annotations_are_at_the_checks_lines(shop):
    done = probes("run", "--github", "--json", cwd=shop, code=1)
    lines = (shop / "checks.yaml").read_text().splitlines()
    found = dict(re.findall(r"^::(\w+) file=checks.yaml,line=(\d+),", done.stderr, re.MULTILINE))
    assert lines[int(found["error"]) - 1].strip().startswith("bad:")
    assert "title=bad failed::status == 201 (status was 503)" in done.stderr
    assert "::warning " in done.stderr


def test_ctrl_c_ends_soon(shop):
    with web() as url:
        write(shop, f"h: {{http: GET {url}/hang, timeout: 50s}}")
        with started("run", cwd=shop) as process:
            time.sleep(2)  # it is waiting by now; there is nothing it would say before
            process.send_signal(signal.SIGINT)
            begun = time.monotonic()
            assert process.wait(10) == 130
            assert time.monotonic() - begun < 5
            assert process.stdout is not None
            assert "Traceback" not in process.stdout.read()


def test_a_terminal_gets_colours_and_a_progress_bar(shop):
    with web() as url:
        write(shop, f"s: {{http: GET {url}/slow}}\nb: {{http: GET {url}/bad}}")
        terminal = Terminal("run", cwd=shop)
        try:
            seen = terminal.read()
            assert terminal.process.wait(10) == 1
        finally:
            terminal.close()
    assert "looking" in seen
    assert "1/2" in seen
    assert "\x1b[1;31mfailed" in seen


def test_no_color_is_obeyed(shop):
    terminal = Terminal("run", "bad", cwd=shop, NO_COLOR="1")
    try:
        seen = terminal.read()
    finally:
        terminal.close()
    assert "failed" in seen
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", seen)


def test_the_missing_file_is_told(tmp_path):
    assert "there is no file checks.yaml" in probes("run", cwd=tmp_path, code=2).stderr


def test_a_run_keeps_nothing(shop):
    with started("run", "good", cwd=shop) as process:
        until(process, "1 passed")
    assert not (shop / ".probes").exists()
