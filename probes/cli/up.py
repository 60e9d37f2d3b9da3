"""``probes up``: run the checks again and again, with a page, until stopped."""

from __future__ import annotations

from pathlib import Path

import click

from probes.cli.shared.options import data_option, file_argument, var_option


@click.command()
@file_argument
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="Port of the page; 0 takes a free one."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address of the page. On any but loopback, readers sign in.")
@data_option
@var_option
def command(*, file: Path, port: int, host: str, data: Path | None, variables: tuple[tuple[str, str], ...]) -> int:
    """Run the checks of FILE until stopped: schedule, incidents, alerts, history, and a page that shows them.

    Saving FILE puts the new version in force; one with a mistake is shown, and the last good one goes on. Exit code 0 after Ctrl-C
    or SIGTERM, 2 for a configuration, folder or port that cannot be used.
    """
    from probes.cli.shared import terminal, watch
    from probes.cli.shared.options import folder
    from probes.local.service import Service
    from probes.local.web.security import is_loopback

    if not is_loopback(host):
        token = folder(data, file) / "up.json"
        terminal.talk(f"the page is open to the network, by plain http: readers sign in with the token in {token}")
    if file.is_dir():
        file /= "checks.yaml"
    return watch.run(watch.shown(Service(file, folder(data, file), host, port, variables=dict(variables))))
