"""``probes schema``: the JSON Schema of checks.yaml."""

from __future__ import annotations

import click


@click.command()
def command() -> None:
    """Print the JSON Schema of checks.yaml, for completion and red lines in editors.

    Keep it beside the file: `probes schema > checks.schema.json`, and make the first line of checks.yaml
    `# yaml-language-server: $schema=./checks.schema.json`.
    """
    from probes.channels import CHANNELS
    from probes.cli.shared import terminal
    from probes.core.schema import schema
    from probes.kinds import KINDS

    terminal.document(schema(KINDS, {name: CHANNELS[name].config for name in CHANNELS}))
