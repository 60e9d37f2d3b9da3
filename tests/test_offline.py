"""Is it me? In a network namespace without a network, and with anchors that answer."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from probes import pipeline
from probes.core import compile as compiler
from probes.core.plan import Plan
from probes.core.result import Run
from probes.core.spec import load
from probes.kinds import KINDS
from probes.pipeline.offline import excuse
from tests.worlds import START, Memory

TREE = Path(__file__).parent.parent
CHECKS = """
version: 1
checks:
  a: {http: GET http://192.0.2.1/}
  b: {tcp: "192.0.2.1:443"}
  c: {http: GET http://127.0.0.1:9/}
"""


def plan(*anchors: str) -> Plan:
    found = compiler.compile(load(CHECKS, KINDS))
    return replace(found, self_check={"here": anchors})


async def outcomes(*anchors: str) -> dict[str, tuple[str, str | None]]:
    a_plan, world = plan(*anchors), Memory().world
    runs = [Run(name, "here", START) for name in a_plan.checks]
    told = await pipeline.execute(a_plan, world, runs)
    return {row[0]: (row[1], row[3]) for row in told.runs}


def without_network(*anchors: str) -> dict[str, tuple[str, str | None]]:
    """The outcomes in a network namespace that has a loopback and nothing else."""
    tools = shutil.which("unshare") and shutil.which("ip")
    if not tools or subprocess.run(["unshare", "-rn", "true"], check=False, capture_output=True).returncode:
        pytest.skip("no network namespace can be made here")
    script = (
        "import asyncio, json, subprocess, tests.test_offline as t\n"
        "subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)\n"
        f"print(json.dumps(asyncio.run(t.outcomes(*{anchors!r}))))\n"
    )
    done = subprocess.run(
        ["unshare", "-rn", sys.executable, "-c", script], cwd=TREE, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return {name: tuple(row) for name, row in json.loads(done.stdout).items()}


def test_a_location_whose_anchors_are_silent_is_offline_and_blames_nobody():
    found = without_network("192.0.2.2:443", "192.0.2.3:53")
    assert found["a"] == found["b"] == ("errored", "probe.offline")
    assert found["c"] == ("failed", "conn.refused")


def test_without_anchors_nothing_is_called_offline():
    assert without_network()["a"] == ("failed", "conn.unreachable")


def test_one_anchor_that_answers_even_with_a_refusal_is_enough():
    assert without_network("192.0.2.2:443", "127.0.0.1:9")["a"] == ("failed", "conn.unreachable")


async def test_anchors_are_not_asked_while_most_runs_say_nothing_of_a_network():
    with socket.create_server(("127.0.0.1", 0)) as anchor:
        anchor.settimeout(0.05)
        address = f"127.0.0.1:{anchor.getsockname()[1]}"
        a_plan, world = plan(address, address), Memory().world
        documents = [{"fault": "conn.refused"}, {"fault": None}, {"fault": "timeout.connect"}]
        assert await excuse(a_plan, world, "here", documents) == documents
        with pytest.raises(TimeoutError):
            await asyncio.to_thread(anchor.accept)
