"""Secrets on a laptop: where they are looked for, what is said when they are not there, and that no value is ever said."""

from pathlib import Path

import pytest

from probes.core.secret import Secret
from probes.local.secrets import FRESH, LARGEST, LocalSecrets
from probes.ports import SecretUnavailable

PLAN = {
    "TOKEN": "env:SHOP_TOKEN",
    "PASSWORD": "secretsmanager:shop/user#password",
    "KEY": "ssm:/shop/key",
    "CERT": "file:certs/key.pem",
}


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def secrets(tmp_path: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch) -> LocalSecrets:
    for name in ("SHOP_TOKEN", "PASSWORD", "KEY", "CERT"):
        monkeypatch.delenv(name, raising=False)
    return LocalSecrets(tmp_path, PLAN, lambda: clock[0])


async def test_env_is_the_environment_then_dotenv(secrets: LocalSecrets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("# mine\nSHOP_TOKEN='from ${file} #1'\nexport KEY=k-1\n")
    assert await secrets.get("env:SHOP_TOKEN") == Secret("TOKEN", "from ${file} #1")
    monkeypatch.setenv("SHOP_TOKEN", "from the environment")
    fresh = LocalSecrets(tmp_path, PLAN)
    assert (await fresh.get("env:SHOP_TOKEN")).reveal() == "from the environment"
    assert (await fresh.get("env:SHOP_TOKEN")).name == "TOKEN"


async def test_dotenv_is_exported_to_nobody(secrets: LocalSecrets, tmp_path: Path) -> None:
    import os

    (tmp_path / ".env").write_text("SHOP_TOKEN=quiet\n")
    await secrets.get("env:SHOP_TOKEN")
    assert "SHOP_TOKEN" not in os.environ


@pytest.mark.parametrize(("reference", "name"), [("ssm:/shop/key", "KEY"), ("secretsmanager:shop/user#password", "PASSWORD")])
async def test_what_lives_on_aws_is_looked_for_by_name(secrets: LocalSecrets, tmp_path: Path, reference: str, name: str) -> None:
    with pytest.raises(SecretUnavailable) as missing:
        await secrets.get(reference)
    assert f"secret {name} ({reference}) lives on AWS" in str(missing.value)
    assert f"set the environment variable {name}, or write {name}=… in {tmp_path / '.env'}" in str(missing.value)
    (tmp_path / ".env").write_text(f"{name}=here\n")
    assert await secrets.get(reference) == Secret(name, "here")


@pytest.mark.parametrize(
    ("content", "value"), [(b"abc", "abc"), (b"abc\n", "abc"), (b"abc\r\n", "abc"), (b"abc\n\n", "abc\n"), (b" a b ", " a b ")]
)
async def test_a_file_is_read_beside_the_configuration_without_its_last_newline(
    secrets: LocalSecrets, tmp_path: Path, content: bytes, value: str
) -> None:
    (tmp_path / "certs").mkdir()
    (tmp_path / "certs" / "key.pem").write_bytes(content)
    assert (await secrets.get("file:certs/key.pem")).reveal() == value


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "is not a file"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"hunter2\xff", "not UTF-8"),
        (b"x" * (LARGEST + 1), "larger"),
    ],
)
async def test_a_file_that_is_no_secret_is_named_and_not_quoted(
    secrets: LocalSecrets, tmp_path: Path, content: bytes | None, words: str
) -> None:
    (tmp_path / "certs").mkdir()
    if content is not None:
        (tmp_path / "certs" / "key.pem").write_bytes(content)
    with pytest.raises(SecretUnavailable, match=f"secret CERT: .*{words}") as told:
        await secrets.get("file:certs/key.pem")
    assert "hunter2" not in str(told.value)


async def test_missing_empty_and_unknown(secrets: LocalSecrets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SecretUnavailable, match="set the environment variable SHOP_TOKEN"):
        await secrets.get("env:SHOP_TOKEN")
    monkeypatch.setenv("SHOP_TOKEN", "")
    with pytest.raises(SecretUnavailable, match="SHOP_TOKEN is set but empty"):
        await secrets.get("env:SHOP_TOKEN")
    with pytest.raises(SecretUnavailable, match="vault: is not a place"):
        await secrets.get("vault:x")
    monkeypatch.delenv("SHOP_TOKEN")
    (tmp_path / ".env").write_bytes(b"SHOP_TOKEN=hunter2\xff\n")
    with pytest.raises(SecretUnavailable, match="cannot be read") as told:
        await secrets.get("env:SHOP_TOKEN")
    assert "hunter2" not in str(told.value)


async def test_a_value_is_kept_for_five_minutes_and_a_failure_not_at_all(
    secrets: LocalSecrets, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SecretUnavailable):
        await secrets.get("env:SHOP_TOKEN")
    monkeypatch.setenv("SHOP_TOKEN", "one")
    assert (await secrets.get("env:SHOP_TOKEN")).reveal() == "one"
    monkeypatch.setenv("SHOP_TOKEN", "two")
    clock[0] = FRESH - 1
    assert (await secrets.get("env:SHOP_TOKEN")).reveal() == "one"
    clock[0] = FRESH
    assert (await secrets.get("env:SHOP_TOKEN")).reveal() == "two"
    assert FRESH <= 300
