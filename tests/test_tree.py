"""What may be in the tree: nothing of a package registry or of one machine, nothing big, no file that is several nouns."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
MEGABYTE = 1_048_576
LONGEST = {"tests": 600}  # lines of a Python file; elsewhere 450. The aim is 400
# Hosts of package indexes and their file stores, by the words in their names, so that this file names none of them itself.
INDEX = re.compile(
    r"(?:files\.)?python" + r"hosted\.org|\bpypi" + r"\.org|registry\.npm" + r"js|registry\.yarn" + r"pkg", re.IGNORECASE
)
PACKAGE_URL = re.compile(
    r"""(?:https?|file)://[^\s"']+\.(?:whl|tgz|tar\.gz)\b|^\s*--(?:extra-)?index-url|^\s*--find-links""", re.MULTILINE
)
MACHINE = re.compile(r"(?<![\w./:}~-])/(?:work|root|opt|home/[a-z]+|Users/[A-Za-z]+)/[\w.-]+")


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("not a git work tree")
    return [path for name in done.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]


def faults(name: str, text: str) -> list[str]:
    """What may not stand in a tracked text file."""
    found = [f"{name} names a package index: {match[0]}" for match in INDEX.finditer(text)]
    found += [f"{name} names a package file or an index option: {match[0].strip()}" for match in PACKAGE_URL.finditer(text)]
    found += [f"{name} names a path of one machine: {match[0]}" for match in MACHINE.finditer(text)]
    if name.endswith(".py") and text.count("\n") > LONGEST.get(name.split("/")[0], 450):
        found.append(f"{name} has {text.count(chr(10))} lines: is it still one noun?")
    return found


def test_tracked_files() -> None:
    found = []
    for path in tracked():
        name = str(path.relative_to(ROOT))
        if path.name == "uv.lock":
            found.append(f"{name}: this lock names an index; the requirements files are the lock")
        if path.stat().st_size > MEGABYTE:
            found.append(f"{name} is larger than 1 MB")
        try:
            found += faults(name, path.read_text(encoding="utf-8"))
        except UnicodeDecodeError:
            continue
    assert found == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "see https://pypi" + ".org/simple"),
        ("a.txt", "x @ https://mirror.example/x-1.0-py3-none-any" + ".whl"),
        ("requirements.txt", "--index-" + "url https://mirror.example/simple"),
        ("a.txt", "registry.npm" + "js.org"),
        ("docs/a.md", "cd /wo" + "rk/main"),
        ("tests/test_a.py", 'open("/ro' + 'ot/.pyenv")'),
        ("tests/test_a.py", "x = 1\n" * 601),
        ("probes/a.py", "x = 1\n" * 451),
    ],
)
def test_a_planted_fault_is_caught(name: str, text: str) -> None:
    assert faults(name, text)


def test_locks_are_by_hash_and_agree() -> None:
    pins: dict[str, set[str]] = {}
    for lock in ("requirements.txt", "requirements-dev.txt", "requirements-build.txt"):
        blocks = re.findall(r"^(\S+)==(\S+).*?(?=^\S|\Z)", (ROOT / lock).read_text(), re.MULTILINE | re.DOTALL)
        whole = re.split(r"(?m)^(?=\S)", (ROOT / lock).read_text())[1:]
        assert blocks
        assert len(whole) == len(blocks)
        assert [block.split()[0] for block in whole if "--hash=sha256:" not in block] == []
        for name, version in blocks:
            pins.setdefault(name, set()).add(version)
    assert {name: versions for name, versions in pins.items() if len(versions) > 1} == {}


def test_locks_hold_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    asked = {
        "requirements.txt": project["project"]["dependencies"],
        "requirements-build.txt": groups["build"],
        "requirements-dev.txt": [*project["project"]["dependencies"], *groups["build"], *groups["test"], *groups["lint"]],
    }
    found = []
    for lock, lines in asked.items():
        pins = dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / lock).read_text(), re.MULTILINE))
        for line in lines:
            wanted = Requirement(line)
            if pins.get(canonicalize_name(wanted.name), "0") not in wanted.specifier:
                found.append(f"{lock} has no {line}: run `make lock`")
    assert found == []
