"""The floors of the house: a module imports its own package and lower floors; never up, never sideways. No exceptions.

The core is pure: no clock, no chance, no I/O, no environment. Third-party I/O lives in kinds, channels and from floor 3 up.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = {
    "core": 0,
    **dict.fromkeys(("ports", "kinds", "channels", "dashboards"), 1),
    **dict.fromkeys(("pipeline", "control", "chat", "view"), 2),
    **dict.fromkeys(("local", "aws", "deploy"), 3),
    **dict.fromkeys(("cli", "aws.functions"), 4),
    "__main__": 5,
}
TALKS = {"kinds", "channels", "local", "aws", "deploy", "cli", "aws.functions"}  # may use third-party I/O
COMPUTES = {"pydantic", "pydantic_core", "yaml", "re2", "jinja2"}  # third parties that only compute
IMPURE = set(
    "time os random asyncio socket pathlib logging sys subprocess threading multiprocessing concurrent secrets uuid tempfile "
    "shutil ssl select selectors signal sqlite3 http getpass platform locale".split()
)
WORLDLY = {"time", "os", "random", "socket", "pathlib", "sqlite3", "subprocess"}  # not for floor 2: no clock, no environment
CALLS = {"now", "utcnow", "today", "open", "input", "print", "exec", "eval"}  # impure without an import of their own


def package(module: str) -> str:
    """``probes.aws.functions.execute`` -> ``aws.functions``; ``probes`` -> the empty text."""
    parts = module.split(".")[1:]
    return ".".join(parts[:2]) if ".".join(parts[:2]) in FLOORS else "".join(parts[:1])


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every imported module with its line, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from ((f"{module}.{a.name}" if module == "probes" else module, node.lineno) for a in node.names)


def breaches(module: str, source: str) -> list[str]:
    """Each thing in ``source`` (of module ``module``) that the house forbids, in words."""
    home, tree = package(module), ast.parse(source)
    if home not in FLOORS:
        return [f"{module}: `{home}` stands on no floor"] if home else []
    found = []
    for name, line in imports(tree):
        where, top, there = f"{module}:{line}", name.split(".")[0], package(name)
        if name.startswith("."):
            found.append(f"{where} imports relatively")
        elif top == "probes":
            if there not in ("", home, "__version__") and FLOORS.get(there, 9) >= FLOORS[home]:
                found.append(f"{where} imports {'sideways' if FLOORS.get(there) == FLOORS[home] else 'up'}: {name}")
        elif home == "core" and (top in IMPURE or name == "urllib.request"):
            found.append(f"{where} is in the core and imports {name}")
        elif FLOORS[home] == 2 and top in WORLDLY:
            found.append(f"{where} is on floor 2 and imports {name}")
        elif home not in TALKS and top not in COMPUTES | sys.stdlib_module_names:
            found.append(f"{where} imports {name}: third-party I/O lives in {', '.join(sorted(TALKS))}")
    for node in ast.walk(tree) if home == "core" else ():
        if isinstance(node, ast.Call):
            word = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if word in CALLS:
                found.append(f"{module}:{node.lineno} is in the core and calls {word}()")
    return found


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(ROOT.glob("probes/**/*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def test_every_module_keeps_to_its_floor() -> None:
    seen = dict(modules())
    assert len(seen) > 10
    assert [breach for name, path in seen.items() for breach in breaches(name, path.read_text())] == []


@pytest.mark.parametrize(
    ("module", "source", "caught"),
    [
        ("probes.core.plan", "from probes.ports import Store", "imports up"),
        ("probes.core.plan", "def f():\n    import probes.kinds.http", "imports up"),
        ("probes.core.plan", "from probes import pipeline", "imports up"),
        ("probes.kinds.http", "from probes.ports import World", "imports sideways"),
        ("probes.kinds.http", "from probes.channels.slack import CHANNEL", "imports sideways"),
        ("probes.local.store", "import probes.aws.store", "imports sideways"),
        ("probes.aws.store", "from probes.local import store", "imports sideways"),
        ("probes.aws.store", "from probes.aws.functions import execute", "imports up"),
        ("probes.pipeline", "from probes.view import fleet", "imports sideways"),
        ("probes.pipeline", "from probes.local.store import SQLite", "imports up"),
        ("probes.pipeline", "import time", "floor 2"),
        ("probes.dashboards.model", "import httpx", "third-party I/O"),
        ("probes.view", "import boto3", "third-party I/O"),
        ("probes.core.judge", "import httpx", "third-party I/O"),
        ("probes.core.judge", "from .result import Result", "relatively"),
        ("probes.garage.car", "x = 1", "no floor"),
        *(("probes.core.plan", f"import {name}", f"imports {name}") for name in sorted(IMPURE)),
        *(("probes.core.plan", f"a = {name}('x')", f"calls {name}()") for name in sorted(CALLS)),
    ],
)
def test_a_planted_breach_is_caught(module: str, source: str, caught: str) -> None:
    assert any(caught in breach for breach in breaches(module, source))


def test_what_is_allowed_passes() -> None:
    allowed = {
        "probes.core.plan": "import re, hashlib\nfrom probes.core.check import Check\nfrom datetime import datetime",
        "probes.kinds.http": "import httpx, asyncio, time\nfrom probes.kinds.wire import connect",
        "probes.aws.functions.execute": "from probes.aws import store\nfrom probes.pipeline import execute",
        "probes.cli.up": "import probes.local.service\nimport probes.aws\nimport click",
    }
    assert [breach for name, source in allowed.items() for breach in breaches(name, source)] == []
