"""The folder is the registry of kinds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter

from probes import kinds
from probes.core.kind import Kind
from probes.kinds import KINDS

FOLDER = Path(kinds.__file__).parent
NAMES = sorted(path.stem for path in FOLDER.glob("[!_]*.py"))


def test_every_file_of_the_folder_is_a_kind() -> None:
    assert sorted(KINDS) == NAMES
    assert len(KINDS) == len(NAMES) >= 3
    assert "wire" not in KINDS
    assert "nothing" not in KINDS
    with pytest.raises(KeyError):
        KINDS["wire"]


@pytest.mark.parametrize("name", NAMES)
def test_a_kind_is_whole(name: str) -> None:
    kind = KINDS[name]
    assert isinstance(kind, Kind)
    assert kind.name == name
    assert kind.summary.endswith(".")
    long = kind.short(yaml.safe_load(kind.example))
    assert kind.target.model_validate(long)
    assert kind.describe(long)
    assert kind.facts
    for fact in kind.facts.values():
        assert fact.doc
    TypeAdapter(kind.target).json_schema()
    json.dumps(long)


def test_a_module_is_imported_only_when_its_key_is_used() -> None:
    code = (
        "import sys; from probes.kinds import KINDS; assert 'http' in KINDS and list(KINDS);"
        "assert not [m for m in sys.modules if m.startswith('probes.kinds.')], sys.modules;"
        "KINDS['tcp']; assert 'probes.kinds.tcp' in sys.modules;"
        "assert not {'probes.kinds.http', 'httpx'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=FOLDER.parents[1])
    assert done.stderr == ""


def test_a_file_that_is_added_is_a_kind(tmp_path: Path) -> None:
    """One file makes a kind: nothing else is edited."""
    (tmp_path / "ping.py").write_text(
        "from probes.core.kind import Kind, Shape, Fact\n"
        "class Target(Shape):\n    address: str\n"
        "async def probe(target, context): ...\n"
        "KIND = Kind('ping', 'Says ping.', Target, lambda t: {'address': t}, 'a', {'x': Fact('number', 'x')}, (), probe, str)\n"
    )
    add = f"from probes import kinds; kinds.__path__.append({str(tmp_path)!r})"
    code = f"{add}; print(kinds.KINDS['ping'].summary, 'ping' in list(kinds.KINDS))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=FOLDER.parents[1])
    assert done.stdout == "Says ping. True\n", done.stderr
