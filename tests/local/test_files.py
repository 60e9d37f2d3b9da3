"""checks.yaml on disk: what may be included, what may not, and what is said about a file that cannot be read."""

import os
import time
from pathlib import Path

import pytest

from probes.core.diagnostics import Rejected
from probes.local.files import MOST, Files, read_plan

ROOT = Path(__file__).parents[2]
MINE = "version: 1\nchecks:\n  home: {tcp: '127.0.0.1:1'}\n"


def more(name: str) -> str:
    return f"checks:\n  {name}: {{tcp: '127.0.0.1:1'}}\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "conf" / "teams").mkdir(parents=True)
    (tmp_path / "conf" / "checks.yaml").write_text(MINE)
    return tmp_path / "conf"


def include(root: Path, *patterns: str) -> Path:
    path = root / "checks.yaml"
    path.write_text(MINE + "include: [" + ", ".join(f"'{pattern}'" for pattern in patterns) + "]\n")
    return path


def refused(path: Path) -> str:
    with pytest.raises(Rejected) as rejected:
        read_plan(path)
    return "\n".join(f"{p.code} {p.file}:{p.line}:{p.column} {p.message}" for p in rejected.value.problems)


def test_the_example_of_the_repository_is_read() -> None:
    assert "quote" in read_plan(ROOT / "checks.yaml").checks


def test_included_files_are_found_by_pattern_from_the_file_they_stand_in(root: Path) -> None:
    path = include(root, "teams/*.yaml", "one.yaml")
    (root / "teams" / "b.yaml").write_text(more("b"))
    (root / "teams" / "a.yaml").write_text(more("a") + "include: [deep/x.yaml, ../one.yaml]\n")
    (root / "teams" / ".hidden.yaml").write_text("nonsense")
    (root / "teams" / "deep").mkdir()
    (root / "teams" / "deep" / "x.yaml").write_text(more("x"))
    (root / "one.yaml").write_text(more("one"))
    files = Files(path)
    assert set(files.plan().checks) == {"home", "a", "b", "x", "one"}
    assert {Path(name).relative_to(root).as_posix() for name in files.read} == {
        "checks.yaml", "teams/a.yaml", "teams/b.yaml", "teams/deep/x.yaml", "one.yaml"
    }  # fmt: skip
    assert {folder.relative_to(root).as_posix() for folder in files.folders} == {".", "teams", "teams/deep"}


def test_a_path_without_a_folder_works(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    include(root, "teams/*.yaml")
    (root / "teams" / "a.yaml").write_text(more("a") + "chekcs: {}\n")
    assert "unknown-key teams/a.yaml:3:1" in refused(Path("checks.yaml"))
    include(root, "../x.yaml")
    (root.parent / "x.yaml").write_text(more("x"))
    assert "leads out of the folder" in refused(Path("checks.yaml"))


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("../secret.yaml", "leads out of the folder"),
        ("teams/../../secret.yaml", "leads out of the folder"),
        ("../absent-*.yaml", "leads out of the folder"),
        ("/etc/passwd", "leads out of the folder"),
        ("~/x.yaml", "leads out of the folder"),
        ("link.yaml", "leads out of the folder"),
        ("linked/*.yaml", "leads out of the folder"),
        ("https://checks.example/a.yaml", "is a URL"),
        ("file:///etc/passwd", "is a URL"),
        ("absent.yaml", "there is no file absent.yaml"),
        ("absent/*.yaml", "no file is called `absent/*.yaml`"),
        ("teams", "teams is not a file"),
        ("pipe", "pipe is not a file"),
        ("latin.yaml", "not UTF-8 text (byte 1)"),
        ("large.yaml", "1 MB"),
    ],
)
def test_what_may_not_be_included_is_refused_at_its_line_without_a_word_of_its_content(
    root: Path, pattern: str, words: str
) -> None:
    outside = root.parent / "outside"
    outside.mkdir()
    for place in (root.parent / "secret.yaml", outside / "a.yaml"):
        place.write_text("hunter2: [")
    (root / "link.yaml").symlink_to(root.parent / "secret.yaml")
    (root / "linked").symlink_to(outside)
    (root / "latin.yaml").write_bytes(b"\xffhunter2")
    (root / "large.yaml").write_bytes(b"# hunter2 \xff\n" * 200_000)
    os.mkfifo(root / "pipe")
    told = refused(include(root, pattern))
    assert words in told
    assert "hunter2" not in told
    assert "checks.yaml:4:11" in told or "large.yaml:1:1" in told


def test_a_link_inside_the_folder_is_fine(root: Path) -> None:
    (root / "real.yaml").write_text(more("real"))
    (root / "link.yaml").symlink_to(root / "real.yaml")
    assert "real" in read_plan(include(root, "link.yaml")).checks


def test_files_that_include_each_other_end(root: Path) -> None:
    (root / "a.yaml").write_text(more("a") + "include: [b.yaml, checks.yaml]\n")
    (root / "b.yaml").write_text(more("b") + "include: [a.yaml]\n")
    assert set(read_plan(include(root, "a.yaml")).checks) == {"home", "a", "b"}
    for depth in range(12):
        (root / f"d{depth}.yaml").write_text(f"include: [d{depth + 1}.yaml]\n")
    assert "more than 8 deep" in refused(include(root, "d0.yaml"))


def test_too_many_files_are_refused_quickly(root: Path) -> None:
    for n in range(MOST + 1):
        (root / "teams" / f"{n}.yaml").write_text("checks: {}\n")
    begun = time.perf_counter()
    assert "more than 1000 files" in refused(include(root, "teams/*.yaml"))
    assert time.perf_counter() - begun < 5


@pytest.mark.parametrize(
    ("content", "words"), [(None, "there is no file checks.yaml"), (b"\xff", "not UTF-8"), (b"x: [" + b"1," * 600_000, "1 MB")]
)
def test_a_first_file_that_cannot_be_read(root: Path, content: bytes | None, words: str) -> None:
    path = root / "checks.yaml"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert words in refused(path)
    path.unlink(missing_ok=True)
    path.mkdir()
    assert "is not a file" in refused(path)


def test_variables_of_the_command_line_win(root: Path) -> None:
    (root / "checks.yaml").write_text("version: 1\nvariables: {place: '127.0.0.1:1'}\nchecks:\n  home: {tcp: '${{ var.place }}'}\n")
    plan = read_plan(root / "checks.yaml", {"place": "127.0.0.1:2"})
    assert "127.0.0.1:2" in str(plan.checks["home"].target)
