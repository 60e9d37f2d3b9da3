"""``probes init``: a commented checks.yaml to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

STARTER: Final = """\
# yaml-language-server: $schema=./checks.schema.json
#
# What must be true of your service. `probes validate` reads this file, `probes run` looks once, `probes up` goes on looking.
# For completion and red lines in your editor: probes schema > checks.schema.json

version: 1
service: my-service

variables:                                # used as ${{ var.site }}; `--var site=https://...` on the command line wins
  site: https://example.com

# secrets:                                # names here, values elsewhere: the environment, .env, a file; never in this file
#   API_TOKEN: env:API_TOKEN

defaults:                                 # the nearest wins: check, then group, then these
  every: 1m
  timeout: 10s
  confirm: {runs: 2 of 3, recover: 2}     # two of the last three runs, before anybody is told

checks:
  home:
    http: GET ${{ var.site }}/
    must: [status == 200]                 # broken: failed
    should: [latency < 800ms]             # broken: degraded

  certificate:
    tls: example.com:443
    every: 1h
    must: [trusted == true, expires_in > 7d]
    should: [expires_in > 30d]

  # api:
  #   http:
  #     method: POST
  #     url: ${{ var.site }}/api/orders
  #     headers: {authorization: "Bearer ${{ secret.API_TOKEN }}"}
  #     json: {sku: demo-1, quantity: 2}
  #   must: [status == 201, body.id != null]

# Who is told. Also: slack, pagerduty, email, webhook.
channels:
  terminal: {console: {}}

routes:
  - notify: [terminal]
    repeat: 12h
"""


@click.command()
@click.argument("folder", metavar="[DIR]", type=click.Path(path_type=Path, file_okay=False), default=".", required=False)
def command(folder: Path) -> None:
    """Write a commented checks.yaml into DIR (the current folder if not given). An existing one is never overwritten."""
    from probes.cli.shared import terminal

    file = folder / "checks.yaml"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as starter:
            starter.write(STARTER)
    except FileExistsError:
        raise click.UsageError(f"{file} exists already, and is not overwritten") from None
    except OSError as error:
        raise click.UsageError(f"{file} cannot be written: {error.strerror}") from None
    terminal.talk(f"wrote {file}")
    terminal.talk(f"next: probes validate{'' if folder == Path() else f' {file}'}, then probes run, then probes up")
    click.echo(file)
