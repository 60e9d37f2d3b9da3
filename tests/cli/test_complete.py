"""What TAB offers, as the shell asks for it."""

import pytest

from tests.cli.command import process, write


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("probes status ", ["basket", "quote"]),
        ("probes run b", ["basket"]),
        ("probes run other.yaml o", ["only"]),
        ("probes history --file other.yaml ", ["only"]),
        ("probes explain tls.exp", ["tls.expired"]),
        ("probes explain heartb", ["heartbeat"]),
        ("probes ack ", []),  # nothing has run here
        ("probes status --file broken.yaml ", []),
    ],
)
def test_what_is_offered(tmp_path, line, offered):
    write(tmp_path, "only: {http: GET http://127.0.0.1:1/}").rename(tmp_path / "other.yaml")
    write(tmp_path, "quote: {http: GET http://127.0.0.1:1/}\nbasket: {http: GET http://127.0.0.1:1/}")
    (tmp_path / "broken.yaml").write_text("checks: [")
    words = str(len(line.split()) - (not line.endswith(" ")))
    done = process(cwd=tmp_path, _PROBES_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD=words)
    assert sorted(done.stdout.split()) == sorted(f"plain,{word}" for word in offered)
    assert done.stderr == ""
