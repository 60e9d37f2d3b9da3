import subprocess
import sys

import pytest
from click.testing import CliRunner

from probes import __version__
from probes.cli import main
from tests.cli.command import PROBES, environment, probes, process

VERBS = "ack completion demo explain history incidents init run schema silence status unsilence up validate".split()


def test_the_folder_is_the_registry_of_verbs():
    assert sorted(main.commands) == VERBS


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb):
    done = CliRunner().invoke(main, [verb, "--help"])
    assert done.exit_code == 0
    assert done.output.startswith(f"Usage: main {verb}")
    assert CliRunner().invoke(main, [verb, "--nonsense"]).exit_code == 2


def test_help_loads_nothing_heavy(tmp_path):
    heavy = {"pydantic", "yaml", "rich", "httpx", "starlette", "asyncio", "uvicorn"}
    code = (
        "import sys\nfrom probes.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit: pass\n"
        f"print(sorted({heavy} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert "validate" in done.stdout


def test_an_unknown_verb_is_guessed(tmp_path):
    assert "did you mean `validate`?" in probes("valdate", cwd=tmp_path, code=2).stderr


def test_version(tmp_path):
    assert process("--version", cwd=tmp_path).stdout == f"probes {__version__}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script(tmp_path, shell):
    assert "_PROBES_COMPLETE" in probes("completion", shell, cwd=tmp_path).stdout


def test_the_shell_completes_verbs(tmp_path):
    done = process(cwd=tmp_path, _PROBES_COMPLETE="zsh_complete", COMP_WORDS="probes va", COMP_CWORD="1")
    assert "validate" in done.stdout


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    with subprocess.Popen(
        [*PROBES, "schema"], cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(20) == 0
