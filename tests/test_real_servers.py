"""`probes run` against servers that we did not write, on loopback: nginx with TLS, Redis, an SMTP server, Flask, dnsmasq.

Each test starts its server on a free port, sees the check pass with the facts the server really has, then stops the server and sees
the check fail for the right reason. What is not installed is skipped with its name (`make test` installs it where it may).
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink

HOST = "127.0.0.1"
PROBES = Path(sys.executable).with_name("probes")


def free(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as listener:
        listener.bind((HOST, 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def running(*command: str, port: int | None, cwd: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A server process; waits (20 s at most) until ``port`` accepts, and ends the process afterwards."""
    with subprocess.Popen(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as server:
        try:
            end = time.monotonic() + 20
            while port is not None:
                if server.poll() is not None or time.monotonic() > end:
                    server.kill()
                    pytest.fail(f"{command[0]} did not start: {server.communicate()[0].decode(errors='replace')[-800:]}")
                with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1):
                    break
                time.sleep(0.02)
            yield server
        finally:
            server.terminate()
            try:
                server.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                server.kill()


def installed(name: str) -> str:
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        pytest.skip(f"{name} is not installed; `make test` installs it where it may")
    return path


def look(folder: Path, check: str, code: int) -> dict[str, Any]:
    """Run one check (YAML of its body) and give its result."""
    body = "\n".join("    " + line for line in check.strip().splitlines())
    (folder / "checks.yaml").write_text(f"version: 1\nservice: real\nchecks:\n  it:\n{body}\n    every: 1m\n    timeout: 5s\n")
    done = subprocess.run(
        [str(PROBES), "run", "--json"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    (result,) = json.loads(done.stdout)["results"]
    return dict(result)


def held(result: dict[str, Any]) -> list[str]:
    return [finding["assertion"] for finding in result["findings"] if finding["holds"]]


def test_nginx_with_tls(tmp_path: Path) -> None:
    nginx, port = installed("nginx"), free()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    certificate = authority.issue_cert(HOST)
    certificate.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    (tmp_path / "index.html").write_text("<h1>real</h1>" * 100)
    (tmp_path / "nginx.conf").write_text(f"""
        daemon off; master_process off; pid nginx.pid; error_log stderr;
        events {{ worker_connections 64; }}
        http {{
          access_log off; gzip on; gzip_min_length 1; gzip_types text/html;
          client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
          server {{
            listen {HOST}:{port} ssl; ssl_certificate server.pem; ssl_certificate_key server.pem;
            root {tmp_path};
            location = /away {{ return 302 /index.html; }}
            location = /broken {{ return 503; }}
          }}
        }}""")
    http = "http: {{url: 'https://127.0.0.1:{port}{path}', ca: ca.pem}}\nmust: [status == 200, 'body contains \"real\"', tls < 4s]"
    tls = f"tls: {{address: '{HOST}:{port}', ca: ca.pem}}\nmust: [trusted == true, expires_in > 1d]"
    with running(nginx, "-p", str(tmp_path), "-c", "nginx.conf", port=port, cwd=tmp_path):
        page = look(tmp_path, http.format(port=port, path="/index.html"), 0)
        assert (page["outcome"], page["facts"]["status"], len(held(page))) == ("passed", 200, 3)
        assert set(page["phases_ms"]) >= {"connect", "tls", "wait", "receive"}
        assert look(tmp_path, http.format(port=port, path="/away"), 0)["outcome"] == "passed"
        broken = look(tmp_path, http.format(port=port, path="/broken"), 1)
        assert (broken["outcome"], broken["fault"], broken["facts"]["status"]) == ("failed", None, 503)
        assert look(tmp_path, tls, 0)["outcome"] == "passed"
        stranger = look(tmp_path, http.format(port=port, path="/").replace(", ca: ca.pem", ""), 1)
        assert stranger["fault"] in ("tls.untrusted", "tls.self_signed")
    assert look(tmp_path, http.format(port=port, path="/index.html"), 1)["fault"] == "conn.refused"


def test_redis(tmp_path: Path) -> None:
    redis, port = installed("redis-server"), free()
    check = f"tcp: {{address: '{HOST}:{port}', send: \"PING\\r\\n\", expect: '\\+PONG'}}\nmust: [connected == true]"
    with running(redis, "--port", str(port), "--bind", HOST, "--save", "", "--appendonly", "no", port=port, cwd=tmp_path):
        assert look(tmp_path, check, 0)["outcome"] == "passed"
        other = look(tmp_path, check.replace("PONG", "GONG"), 1)
        assert other["outcome"] == "failed"
    assert look(tmp_path, check, 1)["outcome"] == "failed"


def test_smtp_banner(tmp_path: Path) -> None:
    controller = Controller(Sink(), hostname=HOST, port=free(), ident="ESMTP real")
    check = f"tcp: {{address: '{HOST}:{controller.port}', expect: '220 '}}\nmust: [connected == true]"
    controller.start()
    try:
        assert look(tmp_path, check, 0)["outcome"] == "passed"
    finally:
        controller.stop()
    assert look(tmp_path, check, 1)["outcome"] == "failed"


def test_flask(tmp_path: Path) -> None:
    port = free()
    (tmp_path / "app.py").write_text(
        "from flask import Flask, request\n"
        "app = Flask(__name__)\n"
        "@app.post('/sum')\n"
        "def sum_(): return {'total': sum(request.get_json()['numbers'])}\n"
    )
    check = (
        f"http:\n  method: POST\n  url: http://{HOST}:{port}/sum\n  json: {{numbers: [1, 2, 39]}}\n"
        'must: [status == 200, body.total == 42, header.content-type contains "application/json"]'
    )
    with running(sys.executable, "-m", "flask", "--app", "app", "run", "--port", str(port), port=port, cwd=tmp_path):
        assert look(tmp_path, check, 0)["outcome"] == "passed"
        wrong = look(tmp_path, check.replace("== 42", "== 41"), 1)
        assert "body.total was 42" in wrong["because"]
    assert look(tmp_path, check, 1)["fault"] == "conn.refused"


def test_dnsmasq(tmp_path: Path) -> None:
    dnsmasq, port = installed("dnsmasq"), free()
    command = [
        dnsmasq, "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--user=", "--pid-file=",
        f"--port={port}", f"--listen-address={HOST}", "--bind-interfaces", "--address=/shop.example/192.0.2.7", "--local=/example/",
    ]  # fmt: skip
    check = f"dns: A shop.example @{HOST}:{port}\nmust: ['rcode == \"NOERROR\"', 'answers contains \"192.0.2.7\"']"
    with running(*command, port=port, cwd=tmp_path):
        assert look(tmp_path, check, 0)["outcome"] == "passed"
        nobody = look(tmp_path, f"dns: A nobody.example @{HOST}:{port}\nmust: ['rcode == \"NXDOMAIN\"']", 0)
        assert nobody["facts"]["rcode"] == "NXDOMAIN"
        assert look(tmp_path, f"dns: A nobody.example @{HOST}:{port}", 1)["outcome"] == "failed"
    assert look(tmp_path, check, 1)["fault"] in ("timeout.dns", "conn.refused")
