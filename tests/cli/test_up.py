"""up, demo, and the verbs that look at what they left or change it; while it runs and when it does not."""

import json
import re
import signal
import time

import httpx
import pytest

from probes.local.shop import STORY
from tests.cli.command import Terminal, document, free, probes, started, until, web, write

HEAD = "defaults: {every: 1s, timeout: 900ms, confirm: {runs: 1, recover: 1}}\nroutes: [{notify: [console]}]"


def checks(url):
    return f"good: {{http: GET {url}/ok}}\nbad: {{http: GET {url}/bad, must: [status == 200]}}"


@pytest.fixture
def running(tmp_path):
    """`probes up` with an open incident of `bad`; ends by SIGTERM with exit code 0."""
    with web() as url:
        write(tmp_path, checks(url), HEAD)
        with started("up", "--port", "0", cwd=tmp_path) as process:
            told = until(process, "[DOWN] bad")
            assert re.search(r"the page is http://127\.0\.0\.1:\d+", told)
            yield tmp_path
            process.send_signal(signal.SIGTERM)
            assert process.wait(8) == 0
            assert process.stdout is not None
            assert "Traceback" not in process.stdout.read()


def test_verbs_while_it_runs(running):
    fleet = {row["check"]: row for row in document("status", "--json", cwd=running)["checks"]}
    assert (fleet["good"]["status"], fleet["bad"]["status"]) == ("up", "down")
    text = probes("status", cwd=running)
    assert re.search(r"^bad +down .*status == 200 \(status was 503\)$", text.stdout, re.MULTILINE)
    assert text.stderr == "1 down, 1 up\n"
    assert "status:       down" in probes("status", "bad", cwd=running).stdout
    results = document("history", "bad", "--json", "--limit", "2", cwd=running)["results"]
    assert {result["outcome"] for result in results} == {"failed"}
    assert "status was 503" in probes("history", "bad", "--since", "5m", cwd=running).stdout
    (incident,) = document("incidents", "--open", "--json", cwd=running)["incidents"]
    assert (incident["check"], incident["status"], incident["severity"]) == ("bad", "open", "critical")
    assert incident["id"] in probes("incidents", cwd=running).stdout
    explained = probes("incidents", "--explain", "bad", cwd=running).stdout
    assert re.search(r"console +opened +delivered", explained)
    assert document("incidents", "--explain", incident["id"], "--json", cwd=running)["id"] == incident["id"]

    assert probes("ack", "bad", cwd=running).stdout == f"{incident['id']} acknowledged by sre\n"
    assert document("incidents", "--open", "--json", cwd=running)["incidents"][0]["acknowledged_by"] == "sre"
    silence = document("silence", "bad", "--for", "2h", "--because", "rolling back", "--by", "me", "--json", cwd=running)
    assert (silence["when"], silence["by"], silence["because"]) == (['check == "bad"'], "me", "rolling back")
    assert "rolling back" in document("status", "bad", "--json", cwd=running)["checks"][0]["muted"]
    seen = document("status", "bad", "--json", cwd=running)["checks"][0]
    assert (seen["acknowledged_by"], seen["silence"], seen["because"]) == ("sre", silence, "status == 200 (status was 503)")
    until = f"silenced until {silence['until']} ({silence['silence']}) by me: rolling back"
    text = probes("status", cwd=running).stdout
    assert re.search(rf"^bad +down .*\(status was 503\)\n  acknowledged by sre; {re.escape(until)}$", text, re.MULTILINE)
    text = probes("status", "bad", cwd=running).stdout
    for line in ("because:      status == 200 (status was 503)", "acknowledged: by sre", f"silenced:     {until[9:]}"):
        assert line in text.splitlines()
    assert document("silence", "--list", "--json", cwd=running) == {"version": 1, "silences": [silence]}
    assert re.search(
        rf'^{silence["silence"]} .* me +check == "bad": rolling back$',
        probes("silence", "--list", cwd=running).stdout,
        re.MULTILINE,
    )
    probes("unsilence", silence["silence"], cwd=running)
    assert document("silence", "--list", "--json", cwd=running)["silences"] == []
    assert document("status", "bad", "--json", cwd=running)["checks"][0]["silence"] is None
    assert document("status", "bad", "--json", cwd=running)["checks"][0]["muted"] is None
    made = probes("silence", 'check == "bad"', "--for", "1h30m", "--because", "x", cwd=running).stdout
    assert made.split("  ")[1] == 'check == "bad"'

    for words, hint in (
        (["silence", "bda", "--for", "2h", "--because", "x"], "bad"),
        (["silence", "--when", "chekc == 'bad'", "--for", "2h", "--because", "x"], "check"),
        (["silence", "bad", "--for", "120", "--because", "x"], "needs a unit"),
        (["silence", "bad", "--when", "check == 'bad'", "--for", "2h", "--because", "x"], "either"),
        (["silence", "--for", "2h", "--because", "x"], "either"),
        (["silence", "bad", "--because", "x"], "--for"),
        (["silence", "bad", "--for", "2h"], "--because"),
        (["silence", "bad", "--list"], "stands alone"),
        (["unsilence", "nothing"], "no silence"),
        (["ack", "good"], "no open incident"),
        (["history", "bda"], "did you mean `bad`?"),
        (["status", "bda"], "did you mean `bad`?"),
        (["incidents", "--explain", "bda"], "did you mean"),
    ):
        assert hint in probes(*words, cwd=running, code=2).stderr

    second = probes("up", "--port", "0", cwd=running, code=2)
    assert "in use" in second.stderr


def test_verbs_when_nothing_runs(tmp_path):
    with web() as url:
        write(tmp_path, checks(url), HEAD)
        with started("up", "--port", "0", "--data", "elsewhere", cwd=tmp_path) as process:
            until(process, "[DOWN] bad")
            process.send_signal(signal.SIGINT)
            assert process.wait(8) == 0
    data = ("--data", "elsewhere")
    assert document("status", "bad", "--json", *data, cwd=tmp_path)["checks"][0]["status"] == "down"
    incident = document("incidents", "--json", *data, cwd=tmp_path)["incidents"][0]
    assert incident["id"] in probes("ack", incident["id"], *data, cwd=tmp_path).stdout
    assert document("incidents", "--json", *data, cwd=tmp_path)["incidents"][0]["acknowledged_by"] == "sre"
    silence = document("silence", "bad", "--for", "2h", "--because", "x", "--json", *data, cwd=tmp_path)["silence"]
    assert "ended" in probes("unsilence", silence, *data, cwd=tmp_path).stdout
    for words, hint in (
        (["ack", "good"], "no open incident"),
        (["unsilence", "nothing"], "no silence"),
        (["silence", "bda", "--for", "2h", "--because", "x"], "did you mean `bad`?"),
        (["silence", "--when", "chekc == 'bad'", "--for", "2h", "--because", "x"], "did you mean `check`?"),
        (["silence", "bad", "--for", "2h", "--because", " "], "reason"),
    ):
        assert hint in probes(*words, *data, cwd=tmp_path, code=2).stderr
    (tmp_path / "checks.yaml").write_text("broken: [")  # what ran is still readable, and reading writes nothing
    before = (tmp_path / "elsewhere/probes.sqlite").read_bytes()
    assert len(document("status", "--json", *data, cwd=tmp_path)["checks"]) == 2
    assert probes("history", "bad", *data, cwd=tmp_path).stdout
    assert (tmp_path / "elsewhere/probes.sqlite").read_bytes() == before


@pytest.mark.parametrize(
    "words",
    [
        ["status"],
        ["history", "a"],
        ["incidents"],
        ["ack", "a"],
        ["silence", "a", "--for", "1h", "--because", "x"],
        ["unsilence", "a"],
    ],
)
def test_where_nothing_has_run(tmp_path, words):
    write(tmp_path, "a: {http: GET http://127.0.0.1:1/}")
    assert "nothing has run here yet" in probes(*words, cwd=tmp_path, code=2).stderr
    assert not (tmp_path / ".probes").exists()


def test_a_store_that_is_none(tmp_path):
    (tmp_path / ".probes").mkdir()
    (tmp_path / ".probes" / "probes.sqlite").write_text("not a database, but long enough to look at" * 100)
    assert "cannot be read" in probes("status", cwd=tmp_path, code=2).stderr


def test_up_refuses_what_it_cannot_use(tmp_path):
    write(tmp_path, "a: {http: GET http://127.0.0.1:1/, evry: 1s}")
    done = probes("up", "--port", "0", cwd=tmp_path, code=2)
    assert "     5 |   a: {http: GET http://127.0.0.1:1/, evry: 1s}" in done.stderr
    assert "did you mean `every`?" in done.stderr
    assert done.stdout == ""
    write(tmp_path, "a: {http: GET http://127.0.0.1:1/}")
    assert "--host" in probes("up", "--port", "0", "--host", "no.such.host.invalid", cwd=tmp_path, code=2).stderr
    with web() as url:
        port = url.rpartition(":")[2]
        assert "--port" in probes("up", "--port", port, cwd=tmp_path, code=2).stderr


def test_a_save_takes_over_and_a_mistake_does_not(running):
    file = running / "checks.yaml"
    good = file.read_text()
    file.write_text(good + "  third: {http: GET http://127.0.0.1:1/}\n")
    _wait(lambda: len(document("status", "--json", cwd=running)["checks"]) == 3)
    file.write_text(good + "  third: {htp: GET http://127.0.0.1:1/}\n")
    time.sleep(1)
    assert len(document("status", "--json", cwd=running)["checks"]) == 3


def _wait(true, seconds=20):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.parametrize(("number", "columns"), [(signal.SIGINT, 80), (signal.SIGTERM, 120)])
def test_a_terminal_gets_a_live_table(tmp_path, number, columns):
    with web() as url:
        write(tmp_path, checks(url), HEAD)
        terminal = Terminal("up", "--port", "0", cwd=tmp_path, columns=columns)
        try:
            terminal.read("1 down, 1 up, 1 open incident")
            terminal.read("[DOWN] bad")
            assert re.search(r"http://127\.0\.0\.1:\d+ - Ctrl-C stops", terminal.seen)
            assert terminal.end(number) == 0
            lines = terminal.lines()
        finally:
            terminal.close()
    assert "Traceback" not in terminal.seen
    assert terminal.seen.rstrip().endswith("\x1b[?25h") or "\x1b[?25h" in terminal.seen  # the cursor is back
    assert lines.index("[DOWN] bad") < next(n for n, line in enumerate(lines) if re.match("check +status", line))
    assert sum(bool(re.match("check +s", line)) for line in lines) == 1
    below = [line for line in lines if line.endswith("status == 200 (status was 503)") and "because:" not in line]
    assert [line.split()[0] for line in below] == ["bad"]


def test_demo_starts_its_shop_and_its_story(tmp_path):
    port = free()
    with started("demo", "--port", str(port), "--pace", "0.3", cwd=tmp_path) as process:
        told = until(process, "--- a bad release")
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert process.stdout is not None
        assert "Traceback" not in process.stdout.read()
    assert f"http://127.0.0.1:{port}" in told
    assert "UP       quote" in told
    names = {row["check"] for row in document("status", "--json", cwd=tmp_path)["checks"]}
    assert {"quote", "buy-a-book", "nightly-invoices"} <= names


def test_every_demo_begins_anew(tmp_path):
    for _ in range(2):
        with started("demo", "--port", "0", "--pace", "0.1", cwd=tmp_path) as process:
            told = until(process, "--- the shop opens")
            assert "DOWN" not in told
            assert "nothing ran" not in told
            refused = probes("demo", "--port", "0", cwd=tmp_path, code=2).stderr
            assert "in use" in refused
            until(process, "--- the end")
            seen = document("history", "health", "--json", cwd=tmp_path)["results"]  # of this demo alone
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
        assert 0 < len(seen) < 8
    (tmp_path / "kept").mkdir()
    with started("demo", "--port", "0", "--data", "kept", cwd=tmp_path) as process:
        until(process, "UP       health")
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    before = document("history", "health", "--data", "kept", "--json", cwd=tmp_path)["results"]
    with started("demo", "--port", "0", "--data", "kept", cwd=tmp_path) as process:
        until(process, "--- the shop opens")
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    assert document("history", "health", "--data", "kept", "--json", cwd=tmp_path)["results"][: len(before)] == before


@pytest.mark.parametrize("columns", [80, 120])
def test_incidents_at_a_terminal_have_whole_ids(running, columns):
    (incident,) = document("incidents", "--json", cwd=running)["incidents"]
    terminal = Terminal("incidents", cwd=running, columns=columns)
    try:
        terminal.read()
        lines = terminal.lines()
    finally:
        terminal.close()
    row = next(n for n, line in enumerate(lines) if line.startswith(incident["id"]))
    assert lines[row].split()[1:3] == ["critical", "open"]
    assert "status == 200 (status was 503)" in " ".join(lines[row : row + 2])
    assert all(len(line) <= columns for line in lines)


@pytest.mark.parametrize("columns", [80, 120])
def test_captions_stay_above_the_live_table(tmp_path, columns):
    terminal = Terminal("demo", "--port", "0", "--pace", "0.1", cwd=tmp_path, columns=columns)
    try:
        terminal.read("the end: everything works")
        assert terminal.end() == 0
        lines = terminal.lines()
    finally:
        terminal.close()
    assert [line for line in lines if line.startswith("---")] == [f"--- {scene.says}" for scene in STORY]
    assert sum(bool(re.match(r"check +(status|stat…|because)", line)) for line in lines) == 1
    table = lines[next(n for n, line in enumerate(lines) if re.match(r"check +status ", line)) :]
    assert {line.split()[0] for line in table if line} >= {"quote", "buy-a-book", "nightly-invoices"}


@pytest.mark.long
def test_demo_tells_its_whole_story(tmp_path):
    with started("demo", "--port", "0", cwd=tmp_path) as process:
        for text in ("[DEGRADED] Price", "[DOWN", "[RECOVERED] Price", "Nightly invoices", "[RECOVERED] Nightly", "the end"):
            until(process, text, 60)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


def test_another_address_than_loopback_asks_readers_to_sign_in(tmp_path):
    write(tmp_path, "a: {http: GET http://127.0.0.1:1/}")
    with started("up", "--port", "0", "--host", "0.0.0.0", cwd=tmp_path) as process:
        told = until(process, "the page is http")
        port = int(re.findall(r":(\d+)$", told.strip())[0])
        assert "up.json" in told
        assert httpx.get(f"http://127.0.0.1:{port}/api/status").status_code == 401
        token = json.loads((tmp_path / ".probes/up.json").read_text())["token"]
        headers = {"authorization": f"Bearer {token}"}
        assert httpx.get(f"http://127.0.0.1:{port}/api/status", headers=headers).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(8) == 0
