"""How exact and how cheap the probe engine is, against a target that knows the truth, next to blackbox_exporter.

    python -m benchmarks.engine [--rounds 5] [--quick]

Everything is on loopback and ends by itself, in about two minutes for each round. What is measured, and how, is told in
docs/concepts/measuring.md; every single measurement is kept in .benchmarks/ as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import trustme

ROOT: Final = Path(__file__).parents[1]
FOLDER: Final = ROOT / ".benchmarks"
PACKAGE: Final = "prometheus-blackbox-exporter"
MIXED: Final = [5, 20, 100, 300]
"""Milliseconds that the service takes, in turns."""
MODULES: Final = """\
modules:
  http:
    prober: http
    timeout: 60s
    http:
      preferred_ip_protocol: ip4
      fail_if_body_not_matches_regexp: ['"ok"']
      tls_config: {ca_file: %s}
"""


@dataclass(frozen=True)
class Row:
    """One line of the table: what is asked of each engine, and which number of the answer is looked at."""

    name: str
    figure: str
    unit: str
    goal: str
    task: dict[str, Any]
    paths: tuple[str, ...] = ("kind", "blackbox")


def rows(scale: float) -> list[Row]:
    """The table of issue 3, each for http and https where both are asked for."""

    def count(wanted: int) -> int:
        return max(200, round(wanted * scale))

    found = []
    for scheme, goal in (("http", "0.2"), ("https", "0.3")):
        task = {"scheme": scheme, "flight": 1000, "count": count(4000), "delays": MIXED, "truth": True}
        found.append(Row(f"reported total less truth, 1,000 in flight, {scheme}, p99", "error_ms", "ms", f"<= {goal}", task))
    task = {"scheme": "https", "flight": 1000, "count": 1000, "delays": [100], "truth": True, "burst": True}
    found.append(Row("shown on top of a 100 ms service, 1,000 https due at once, p99", "on_top_ms", "ms", "<= 0.3", task))
    for scheme in ("http", "https"):
        task = {"scheme": scheme, "flight": 1, "count": 1, "delays": [100], "truth": True, "blocked": 0.3}
        found.append(Row(f"shown for 100 ms, loop blocked 300 ms, {scheme}", "shown_ms", "ms", "<= 101", task, ("kind",)))
    for scheme, goal in (("http", "<= 110"), ("https", "<= 620 on OpenSSL 3.0")):
        task = {"scheme": scheme, "flight": 50, "count": count(3000), "delays": [0]}
        paths = ("transport", "send", "kind", "line", "blackbox")
        found.append(Row(f"processor time of a probe, 50 in flight, {scheme}", "cpu_us", "us", goal, task, paths))
    for scheme, goal in (("http", "<= 10"), ("https", "<= 55")):
        task = {"scheme": scheme, "flight": 1000, "count": 1000, "delays": [3000], "burst": True, "memory": 2.5}
        found.append(
            Row(f"memory of a probe in flight, {scheme}", "memory_kib", "KiB", goal, task, ("transport", "kind", "blackbox"))
        )
    return found


@dataclass
class Bench:
    """Where the target is, the exporter where there is one, and what came of every measurement."""

    ports: tuple[int, int]
    blackbox: str | None
    cores: tuple[int, int]
    raw: list[dict[str, Any]] = field(default_factory=list)

    def measure(self, row: Row, path: str) -> float | None:
        """One measurement in a process of its own."""
        if path == "blackbox" and self.blackbox is None:
            return None
        task = row.task | {"path": path, "ports": self.ports, "log": str(FOLDER / "log"), "core": self.cores[0]}
        if path != "blackbox" or self.blackbox is None:
            found = self._run("benchmarks.worker", task, row)
        else:
            with exporter(self.blackbox, self.cores[0]) as (pid, port):
                found = self._run("benchmarks.blackbox", task | {"pid": pid, "blackbox": port, "core": self.cores[1]}, row)
        if found["well"] != row.task["count"]:
            sys.stderr.write(f"{path}, {row.name}: {found['well']} of {row.task['count']} were well: {found.get('errors')}\n")
        self.raw.append({"row": row.name, "path": path, "load": os.getloadavg()[0], "task": task, "found": found})
        return figure(found, row.figure)

    def _run(self, module: str, task: dict[str, Any], row: Row) -> dict[str, Any]:
        ran = subprocess.run(  # noqa: S603  # our own command
            [sys.executable, "-m", module, json.dumps(task)],
            cwd=ROOT,
            env=os.environ | {"SSL_CERT_FILE": str(FOLDER / "ca.pem")},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if ran.returncode:
            raise SystemExit(f"{module}, {row.name}: {ran.stderr.strip()[-2000:]}")
        found: dict[str, Any] = json.loads(ran.stdout)
        return found


def figure(found: dict[str, Any], name: str) -> float | None:
    """The number of a row; p99 where there are several. An exporter's own phases count where they are closer than its total."""
    known = [found[key] for key in (name, f"phases_{name}") if found.get(key) is not None]
    values = [one["p99"] if isinstance(one, dict) else one for one in known]
    return min(values, default=None)


@contextmanager
def target(ports: tuple[int, int], core: int) -> Iterator[None]:
    """Build the target and run it on its core."""
    program = FOLDER / "target"
    build = ["cc", "-O2", "-Wall", "-Wextra", "-o", str(program), str(ROOT / "benchmarks" / "target.c"), "-lssl", "-lcrypto"]
    subprocess.run(build, check=True)  # noqa: S603
    authority = trustme.CA()
    mine = authority.issue_cert(*(f"127.0.0.{address}" for address in range(1, 17)))
    authority.cert_pem.write_to_path(FOLDER / "ca.pem")
    mine.private_key_pem.write_to_path(FOLDER / "key.pem")
    (FOLDER / "cert.pem").write_bytes(b"".join(part.bytes() for part in mine.cert_chain_pems))
    files = [str(FOLDER / name) for name in ("cert.pem", "key.pem", "log")]
    with subprocess.Popen(  # noqa: S603
        [str(program), *map(str, ports), *files], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        os.sched_setaffinity(child.pid, {core})
        assert child.stdin is not None
        assert child.stdout is not None
        if child.stdout.readline() != b"ready\n":
            raise SystemExit("the target did not start")
        try:
            yield
        finally:
            child.stdin.close()
            child.wait(5)


@contextmanager
def exporter(program: str, core: int) -> Iterator[tuple[int, int]]:
    """Run a fresh blackbox_exporter on the client's core; its process and its port."""
    (FOLDER / "blackbox.yml").write_text(MODULES % (FOLDER / "ca.pem"))
    port = free()
    command = [program, f"--config.file={FOLDER / 'blackbox.yml'}", f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
    with subprocess.Popen(command, env={"GOMAXPROCS": "1", "PATH": os.environ["PATH"]}) as child:  # noqa: S603
        os.sched_setaffinity(child.pid, {core})
        try:
            for _ in range(100):
                with socket.socket() as trial:
                    if trial.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            yield child.pid, port
        finally:
            child.terminate()
            child.wait(5)


def blackbox() -> str | None:
    """The exporter: as installed, or from Debian's package, unpacked beside the results, so that no service starts."""
    if installed := shutil.which(PACKAGE):
        return installed
    program = FOLDER / "debian" / "usr" / "bin" / PACKAGE
    if not program.exists() and shutil.which("apt-get") and shutil.which("dpkg"):
        (FOLDER / "debian").mkdir(exist_ok=True)
        download = ["apt-get", "download", "-qq", PACKAGE]
        subprocess.run(download, cwd=FOLDER / "debian", check=False, capture_output=True)  # noqa: S603
        for package in (FOLDER / "debian").glob("*.deb"):
            subprocess.run(["dpkg", "-x", str(package), str(FOLDER / "debian")], check=False)  # noqa: S603, S607
    return str(program) if program.exists() else None


def free() -> int:
    """A port that nobody has."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port: int = trial.getsockname()[1]
        return port


def versions(program: str | None) -> dict[str, str]:
    """The machine and what is compared."""
    import httpx

    found = {
        "machine": f"{os.cpu_count()} x {processor()}, {platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "httpx": httpx.__version__,
    }
    if program:
        told = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
        found["blackbox_exporter"] = (told.stdout + told.stderr).splitlines()[0].split(" (")[0].removeprefix("blackbox_exporter, ")
    return found


def processor() -> str:
    """The name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def table(asked: list[Row], found: dict[tuple[str, str], list[float]]) -> Iterator[str]:
    """Medians, and the ratio to blackbox_exporter of the same round (median of the rounds' ratios)."""
    yield f"{'figure':<66} {'by':<10} {'median':>9} {'worst':>9} {'unit':<4} {'to reach':<22} {'to blackbox':>11}"
    for row in asked:
        theirs = found.get((row.name, "blackbox"), [])
        for path in row.paths:
            values = found.get((row.name, path), [])
            if not values:
                continue
            ratios = [one / other for one, other in zip(values, theirs, strict=False) if other]
            ratio = "" if path == "blackbox" or not ratios else spoken(statistics.median(ratios))
            goal = "" if path != row.paths[0] else row.goal
            numbers = f"{statistics.median(values):>9.3f} {max(values):>9.3f} {row.unit:<4}"
            yield f"{row.name:<66} {path:<10} {numbers} {goal:<22} {ratio:>11}"


def spoken(ratio: float) -> str:
    """``1 : 2,500`` for a small ratio, ``0.25`` for others."""
    return f"1 : {1 / ratio:,.0f}" if 0 < ratio < 0.1 else f"{ratio:.2f}"


def main() -> None:
    """Measure, print the table, keep the raw numbers."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--quick", action="store_true", help="a quarter of the probes")
    given = options.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 8192)), hard))
    FOLDER.mkdir(exist_ok=True)
    cores = sorted(os.sched_getaffinity(0))
    client, server = cores[0], cores[-1]
    asked = rows(0.25 if given.quick else 1.0)
    found: dict[tuple[str, str], list[float]] = {}
    with ExitStack() as stack:
        ports = free(), free()
        stack.enter_context(target(ports, server))
        bench = Bench(ports, blackbox(), (client, server))
        if bench.blackbox is None:
            sys.stderr.write(f"{PACKAGE} is not here and cannot be had: the comparison is left out\n")
        for turn in range(given.rounds):
            for row in asked:
                for path in row.paths[:: 1 if turn % 2 else -1]:  # whoever comes first in one round comes last in the next
                    value = bench.measure(row, path)
                    if value is not None:
                        found.setdefault((row.name, path), []).append(value)
            sys.stderr.write(f"round {turn + 1} of {given.rounds}, load {os.getloadavg()[0]:.1f}\n")
        about = versions(bench.blackbox)
    name = time.strftime("%Y%m%dT%H%M%SZ.json", time.gmtime())
    lines = list(table(asked, found))
    kept = {"versions": about, "rounds": given.rounds, "quick": given.quick, "table": lines, "raw": bench.raw}
    (FOLDER / name).write_text(json.dumps(kept, indent=1) + "\n")
    told = [f"{key}: {value}" for key, value in about.items()]
    sys.stdout.write("\n".join([*told, "", *lines, "", f"{given.rounds} rounds; every measurement: .benchmarks/{name}"]) + "\n")


if __name__ == "__main__":
    main()
