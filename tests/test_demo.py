"""The promise of `make demo`: within a minute a newcomer sees up, degraded, down, a page and the recovery, each told once."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROBES = str(Path(sys.executable).with_name("probes"))


@pytest.mark.long
def test_the_story_is_told_once_and_to_the_right_people(tmp_path: Path) -> None:
    told: list[str] = []
    started = time.monotonic()
    with subprocess.Popen(
        [PROBES, "demo", "--port", "0"], cwd=tmp_path, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stderr is not None
        for line in demo.stderr:
            told.append(line)
            if line.startswith("--- the end"):
                break
        assert time.monotonic() - started < 75
        demo.terminate()
        demo.stderr.read()
        assert demo.wait(10) == 0

    def at(words: str) -> int:
        return next(number for number, line in enumerate(told) if words in line)

    assert at("UP       quote") < at("DEGRADED quote") < at("DOWN     quote") < at("[RECOVERED] Price a basket")
    assert at("DOWN     nightly-invoices") < at("[RECOVERED] Nightly invoices")
    done = subprocess.run([PROBES, "incidents", "--json"], cwd=tmp_path, capture_output=True, text=True, check=True)
    incidents = {incident["check"]: incident for incident in json.loads(done.stdout)["incidents"]}
    assert {name: incident["status"] for name, incident in incidents.items()} == dict.fromkeys(
        ("quote", "buy-a-book", "nightly-invoices"), "resolved"
    )
    hooks = [
        alert["event"] for alert in incidents["quote"]["alerts"] if (alert["channel"], alert["outcome"]) == ("hooks", "delivered")
    ]
    assert hooks == ["opened", "resolved"]
    assert "escalated" in {alert["event"] for alert in incidents["quote"]["alerts"] if alert["outcome"] == "delivered"}
    quiet = incidents["buy-a-book"]["alerts"]
    assert {(alert["outcome"], alert["reason"]) for alert in quiet} == {("suppressed", "dependency")}
