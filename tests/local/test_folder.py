"""One service for a data folder, and how others find it."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from probes.local import Refused
from probes.local.folder import Folder, Running

ROOT = Path(__file__).parents[2]
HOLD = """
    import os, sys, time
    from pathlib import Path
    from probes.local.folder import Folder, Running
    with Folder(Path(sys.argv[1])) as folder:
        folder.announce(Running("127.0.0.1", 8080, "token", os.getpid()))
        print("held", flush=True)
        time.sleep(60)
"""


def hold(path: Path) -> subprocess.Popen[str]:
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(HOLD), str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    return child


def test_nobody_runs_where_nothing_is(tmp_path: Path) -> None:
    assert Folder(tmp_path / "absent").running() is None
    assert not (tmp_path / "absent").exists()


def test_a_second_service_is_refused_and_told_by_whom(tmp_path: Path) -> None:
    path = tmp_path / ".probes"
    with hold(path) as child:
        try:
            with (
                pytest.raises(Refused, match=rf"in use by `probes up` \(process {child.pid}, http://127.0.0.1:8080\)"),
                Folder(path),
            ):
                pass
            running = Folder(path).running()
            assert running == Running("127.0.0.1", 8080, "token", child.pid)
        finally:
            child.send_signal(signal.SIGKILL)
    assert (path / "up.json").exists(), "a killed service cleans nothing up"
    assert Folder(path).running() is None, "and is not believed to run"
    with Folder(path) as folder:
        folder.announce(Running("::1", 1, "other", os.getpid()))
        assert (path / "up.json").stat().st_mode & 0o777 == 0o600
    assert not (path / "up.json").exists()


def test_the_folder_is_for_its_owner(tmp_path: Path) -> None:
    with Folder(tmp_path / "a" / "b") as folder:
        assert folder.path.stat().st_mode & 0o777 == 0o700
        assert (folder.path / "lock").stat().st_mode & 0o777 == 0o600


def test_a_folder_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match="choose another with --data"), Folder(tmp_path / "file" / "data"):
        pass


def test_a_note_that_cannot_be_read_is_no_note(tmp_path: Path) -> None:
    with Folder(tmp_path) as folder:
        for text in ("", "{", "[]", '{"host": 1}', "\x00"):
            (tmp_path / "up.json").write_text(text)
            assert folder.running() is None
            with pytest.raises(Refused, match="another process"), Folder(tmp_path):
                pass


def test_an_ipv6_address_is_bracketed() -> None:
    assert Running("::1", 8080, "", 1).url == "http://[::1]:8080"
