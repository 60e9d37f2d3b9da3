"""Every block of the documentation is true: configurations validate, commands run, and nothing that the code has is missing.

In README.md, CONTRIBUTING.md and docs: a yaml block is a checks.yaml, some of its sections, checks by id, a channel, or a key of a
check. A console block holds ``$ probes ...`` lines, run in an empty folder beside the last whole checks.yaml of its page, and lines
that must be in the output. ``<!-- exit: 2 -->`` before a block promises an exit code: of the command, or of validating the YAML.
"""

import asyncio
import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import click
import pytest
import yaml

from probes import cli
from probes.channels import CHANNELS
from probes.core import codes, events, fault, metrics, shapes
from probes.core.diagnostics import Rejected
from probes.core.sections import SECTIONS
from probes.core.spec import load
from probes.kinds import KINDS
from probes.local.shop import ENVIRONMENT, PORTS, Shop
from tools import reference

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"(?:^<!-- exit: (\d) -->\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROBES = Path(sys.executable).with_name("probes")


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    language: str
    text: str
    exit: int
    config: str  # the last whole checks.yaml above it on its page

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path, text: str) -> Iterator[Block]:
    config = ""
    for match in FENCE.finditer(text):
        if match[2] == "yaml" and "version:" in match[3]:
            config = match[3]
        yield Block(page, text.count("\n", 0, match.start()) + 1, match[2], match[3], int(match[1] or 0), config)


BLOCKS = [block for page in PAGES if page.exists() for block in blocks(page, page.read_text())]


def whole(text: str) -> str:
    """A fragment as a complete checks.yaml."""
    data = yaml.safe_load(text)
    if "version" in data:
        return text
    named = next(iter(data))
    if set(data) <= set(SECTIONS):
        made = text
    elif named in KINDS:
        made = "checks:\n  fragment:\n" + textwrap.indent(text, "    ")
    elif named in CHANNELS:
        made = "channels:\n  fragment:\n" + textwrap.indent(text, "    ") + "routes: [{notify: [fragment]}]\n"
    else:
        made = "checks:\n" + textwrap.indent(text, "  ")
    secrets = dict.fromkeys(re.findall(r"secret\.(\w+)", text), "env:X")
    if secrets and "secrets" not in data:
        made += f"secrets: {secrets}\n"
    return "version: 1\n" + made + ("" if "checks:" in made else "checks: {fragment: {http: GET http://127.0.0.1:9080/health}}\n")


def problems(text: str) -> list[str]:
    try:
        load(whole(text), KINDS, channels={name: CHANNELS[name].config for name in CHANNELS})
    except Rejected as rejected:
        return [f"{p.line}:{p.column} {p.code}: {p.message}" for p in rejected.problems if p.severity == "error"]
    return []


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "yaml"], ids=str)
def test_yaml_blocks_validate_or_fail_as_they_promise(block: Block) -> None:
    found = problems(block.text)
    assert bool(found) == (block.exit == 2), found


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, int]]:
    """The demo shop on free ports, in a thread; gives the real port for each default one."""
    ready, done = Event(), Event()
    ports: dict[int, int] = {}

    async def serve() -> None:
        async with Shop(tmp_path_factory.mktemp("shop"), dict.fromkeys(PORTS, 0)) as shop:
            ports.update({PORTS[name]: port for name, port in shop.ports.items()})
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(20)
    yield ports
    done.set()
    thread.join(20)


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "console"], ids=str)
def test_console_blocks_run(block: Block, shop: dict[int, int], tmp_path: Path) -> None:
    def here(text: str) -> str:
        return re.sub(r"\b9\d{3}\b", lambda match: str(shop.get(int(match[0]), match[0])), text)

    if block.config:
        (tmp_path / "checks.yaml").write_text(here(block.config))
    environment = {**os.environ, **ENVIRONMENT, "NO_COLOR": "1", "COLUMNS": "160", "HOME": str(tmp_path)}
    output, lines = "", block.text.splitlines()
    commands = [line[2:] for line in lines if line.startswith("$ ")]
    assert commands
    for command in commands:
        words = shlex.split(command)
        assert words[0] == "probes", f"{block}: only probes is run here; other commands go into a ```sh block"
        done = subprocess.run(
            [str(PROBES), *map(here, words[1:])],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        output += done.stdout + done.stderr
        assert done.returncode == block.exit, output
        assert "Traceback" not in output
    for line in lines:
        if not line.startswith("$ "):
            assert line.strip() in output, output


def test_every_language_is_known() -> None:
    known = {"yaml", "console", "sh", "text", "python", "mermaid", "json"}
    assert [f"{block}: {block.language}" for block in BLOCKS if block.language not in known] == []


def test_python_blocks_compile() -> None:
    for block in BLOCKS:
        if block.language == "python":
            compile(block.text, str(block), "exec")


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "json"], ids=str)
def test_json_blocks_are_events_and_go_round(block: Block) -> None:
    document = json.loads(block.text)
    again = events.Event.of(events.parse(events.Event.parse(document))).document()
    assert {**again, "detail": {key: again["detail"][key] for key in document["detail"]}} == document


def test_links_lead_somewhere() -> None:
    links = [(page, link) for page in PAGES for link in re.findall(r"\]\(([^)#\s]+)(?:#[\w-]+)?\)", page.read_text())]
    assert [(page.name, link) for page, link in links if "://" not in link and not (page.parent / link).exists()] == []


def test_the_reference_is_what_the_code_says() -> None:
    assert reference.stale() == [], "run `make docs`"


def test_a_stale_or_left_over_page_is_caught(tmp_path: Path) -> None:
    for path, text in reference.pages().items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    assert reference.stale(tmp_path) == []
    (tmp_path / "docs/reference/faults.md").write_text("old")
    (tmp_path / "docs/reference/gone.md").write_text("")
    (tmp_path / "checks.schema.json").unlink()
    assert reference.stale(tmp_path) == ["checks.schema.json", "docs/reference/faults.md", "docs/reference/gone.md (left over)"]


def commands(command: click.Command, name: str) -> Iterator[tuple[str, str]]:
    """(heading, option) of every verb."""
    yield name, ""
    for parameter in command.params:
        for option in parameter.opts if isinstance(parameter, click.Option) and not parameter.hidden else ():
            yield name, option
    for verb, inner in getattr(command, "commands", {}).items():
        if not inner.hidden:
            yield from commands(inner, f"{name} {verb}")


def missing(text: dict[str, str]) -> list[str]:
    """What the code has and the reference (page name to text) has not."""
    wanted = [("kinds", f"## {name}\n") for name in KINDS] + [("channels", f"## {name}\n") for name in CHANNELS]
    for name, kind in KINDS.items():
        section = text["kinds"].partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        keys = [field.alias or name for name, field in kind.target.model_fields.items()]
        wanted += [("kinds", f"## {name}: key {key}") for key in keys if f"| `{key}` |" not in section]
        wanted += [("kinds", f"## {name}: fact {fact}") for fact in kind.facts if f"| `{fact}` |" not in section]
    wanted += [
        ("checks-yaml", f"| `{name}` |") for name in (*SECTIONS, *shapes.CheckShape.model_fields, *shapes.RouteShape.model_fields)
    ]
    wanted += [("events", f"## {name}\n") for name in events.EVENTS]
    wanted += [("metrics", f"| `{name}` |") for name in metrics.METRICS]
    wanted += [("faults", f"| `{name}` |") for name in fault.FAULTS]
    wanted += [("codes", f"## {name}\n") for name in codes.CODES]
    found = [f"{page}: {words.strip()}" for page, words in wanted if words not in text[page]]
    for heading, option in commands(cli.main, "probes"):
        section = text["cli"].partition(f"## {heading}\n")[2].partition("\n## ")[0]
        if not section or option not in section:
            found.append(f"cli: {heading} {option}".strip())
    return found


def test_everything_has_an_entry() -> None:
    text = {path.stem: path.read_text() for path in (ROOT / reference.REFERENCE).glob("*.md")}
    assert missing(text) == []


def test_every_key_that_people_write_says_what_it_means() -> None:
    made = reference.pages()
    lines = [
        line for name in ("checks-yaml", "kinds", "channels") for line in made[reference.REFERENCE / f"{name}.md"].splitlines()
    ]
    silent = [line for line in lines if re.match(r"\| `\w+` \|.*\|\s*\|$", line)]
    assert silent == []


def test_a_missing_entry_is_caught() -> None:
    text = {path.stem: body for path, body in reference.pages().items() if path.suffix == ".md"}
    text["metrics"] = text["metrics"].replace("`Lateness`", "`Later`")
    text["cli"] = text["cli"].replace("--junit", "--jnuit")
    assert missing(text) == ["metrics: | `Lateness` |", "cli: probes run --junit"]


def test_a_broken_block_is_caught(tmp_path: Path) -> None:
    (block,) = blocks(tmp_path / "a.md", "text\n```yaml\nchecks:\n  a: {http: GET http://127.0.0.1, evry: 1s}\n```\n")
    assert "unknown-key" in problems(block.text)[0]
    (block,) = blocks(tmp_path / "a.md", "<!-- exit: 2 -->\n```yaml\nversion: 1\nchecks: {}\n```\n")
    assert (block.exit, bool(problems(block.text))) == (2, True)
