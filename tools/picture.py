"""Takes the README's picture: the page of a running demo, when the outage is confirmed. Needs chromium; `tools/picture.py [PATH]`."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
CHROMIUM = "/usr/bin/chromium"
QUIET = ["--no-sandbox", "--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"]


def down(address: str) -> bool:
    """Whether the page says that something is down."""
    try:
        return any(check["status"] == "down" for check in httpx.get(f"{address}/api/status", trust_env=False).json()["checks"])
    except httpx.HTTPError:
        return False


def main() -> None:
    """Run the demo until its outage, and keep what the page shows."""
    path = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "docs/images/fleet.png")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as data:
        command = [str(Path(sys.executable).with_name("probes")), "demo", "--port", str(port), "--data", data]
        with subprocess.Popen(command, cwd=data, stderr=subprocess.DEVNULL) as demo, sync_playwright() as play:
            try:
                end = time.monotonic() + 60
                while not down(address):
                    if time.monotonic() > end:
                        sys.exit("nothing went down within a minute")
                    time.sleep(0.5)
                time.sleep(4)
                browser = play.chromium.launch(executable_path=CHROMIUM, args=QUIET)
                page = browser.new_page(viewport={"width": 1200, "height": 820})
                page.goto(address + "/", wait_until="load")
                path.parent.mkdir(parents=True, exist_ok=True)
                page.screenshot(path=path)
                browser.close()
            finally:
                demo.terminate()


if __name__ == "__main__":
    main()
