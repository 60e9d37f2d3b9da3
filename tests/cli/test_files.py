"""init, validate, schema, explain: what needs no network."""

import json

import pytest

from tests.cli.command import document, probes, write


def test_init_writes_a_valid_start_and_never_overwrites(tmp_path):
    done = probes("init", cwd=tmp_path)
    assert done.stdout == "checks.yaml\n"
    assert probes("validate", cwd=tmp_path).stdout == "checks.yaml: 2 checks, 1 location, 0 problems, 0 warnings\n"
    before = (tmp_path / "checks.yaml").read_text()
    assert "exists already" in probes("init", cwd=tmp_path, code=2).stderr
    assert (tmp_path / "checks.yaml").read_text() == before
    probes("init", "deep/er", cwd=tmp_path)
    probes("validate", "deep/er/checks.yaml", cwd=tmp_path)
    probes("validate", "deep/er", cwd=tmp_path)


def test_what_the_starter_comments_out_is_valid_too(tmp_path):
    text = (probes("init", cwd=tmp_path) and tmp_path / "checks.yaml").read_text()
    lines = [line.replace("# ", "", 1) if line.startswith(("# secrets", "#   API", "  # ")) else line for line in text.splitlines()]
    (tmp_path / "checks.yaml").write_text("\n".join(lines))
    assert "3 checks" in probes("validate", cwd=tmp_path).stdout


def test_validate_shows_every_problem_with_place_and_hint(tmp_path):
    write(tmp_path, "quote:\n  http: GET http://127.0.0.1:1/\n  evry: 1h\n  must: [latecny < 300ms]")
    done = probes("validate", cwd=tmp_path, code=2)
    for part in (
        "checks.yaml:7:5: there is no key `evry` here",
        "did you mean `every`?",
        "checks.yaml:8:12",
        "did you mean `latency`?",
        "^",
    ):
        assert part in done.stdout
    assert done.stdout.endswith("checks.yaml: 2 problems\n")
    assert done.stderr == ""


def test_validate_json_is_the_contract(tmp_path):
    write(tmp_path, "cert:\n  http: GET http://127.0.0.1:1/\n  evry: 1h")
    assert document("validate", "--json", cwd=tmp_path, code=2) == {
        "ok": False,
        "problems": [
            {
                "severity": "error",
                "code": "unknown-key",
                "message": "there is no key `evry` here",
                "file": "checks.yaml",
                "line": 7,
                "column": 5,
                "path": "checks.cert.evry",
                "hint": "did you mean `every`?",
            }
        ],
    }


def test_a_warning_is_told_and_does_not_refuse(tmp_path):
    write(tmp_path, "a: {http: GET http://127.0.0.1:1/}", "secrets: {UNUSED: env:UNUSED}\nroutes: [{notify: [console]}]")
    done = probes("validate", cwd=tmp_path)
    assert "warning" in done.stdout
    assert done.stdout.endswith("1 check, 1 location, 0 problems, 1 warning\n")
    found = document("validate", "--json", cwd=tmp_path)
    assert found["ok"] is True
    assert [problem["severity"] for problem in found["problems"]] == ["warning"]


@pytest.mark.parametrize("name", ["nope.yaml", "/dev/null"])
def test_a_file_that_is_none(tmp_path, name):
    assert "problem" in probes("validate", name, cwd=tmp_path, code=2).stdout


def test_variables_from_the_command_line(tmp_path):
    write(tmp_path, "a: {http: 'GET ${{ var.api }}/'}", "variables: {api: http://127.0.0.1:1}")
    probes("validate", "--var", "api=https://shop.example", cwd=tmp_path)
    assert "ftp" in probes("validate", "--var", "api=ftp://shop.example", cwd=tmp_path, code=2).stdout
    assert "did you mean `api`?" in probes("validate", "--var", "apii=x", cwd=tmp_path, code=2).stdout
    assert "write name=value" in probes("validate", "--var", "api", cwd=tmp_path, code=2).stderr


def test_hostile_names_cannot_steer_the_terminal(tmp_path):
    (tmp_path / "checks.yaml").write_text('version: 1\nchecks:\n  "a\\x1b[31m\\u202e": {http: GET http://127.0.0.1/}\n')
    done = probes("validate", cwd=tmp_path, code=2)
    assert "\x1b" not in done.stdout
    assert "\u202e" not in done.stdout


def test_schema_is_a_schema(tmp_path):
    schema = document("schema", cwd=tmp_path)
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert {"http", "tls", "dns", "tcp", "heartbeat"} <= set(schema["$defs"]["CheckShape"]["properties"])


@pytest.mark.parametrize("word", ["unit", "dns.nxdomain", "probe.offline"])
def test_explain_prints_a_page(tmp_path, word):
    assert probes("explain", word, cwd=tmp_path).stdout.startswith(word)
    found = document("explain", word, "--json", cwd=tmp_path)
    assert found["word"] == word
    assert found["text"]


def test_json_is_one_document_and_nothing_else(tmp_path):
    done = probes("validate", "nope.yaml", "--json", cwd=tmp_path, code=2)
    assert json.loads(done.stdout)["ok"] is False
    assert done.stderr == ""
