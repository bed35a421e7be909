"""`liveops keys`: private halves stay in files of their own, public ones are shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from commands.cli import app
from commands.keys import KeyUnusable, kept_key, public_key, read_keys
from ledger.notes import Signer, Verifier


def run(*words: str | Path, **env: str) -> Result:
    return CliRunner().invoke(app, ["keys", *map(str, words)], env=env)


def test_a_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "key"
    done = run("generate", file, "--name", "the-log")
    assert done.exit_code == 0, done.output
    assert file.stat().st_mode & 0o777 == 0o600
    signer = Signer.parse(file.read_text().strip())
    assert Verifier.parse(done.stdout.strip()) == signer.verifier
    assert "PRIVATE" not in done.output


def test_a_key_is_never_written_over(tmp_path: Path) -> None:
    file = tmp_path / "key"
    run("generate", file, "--name", "the-log")
    before = file.read_text()
    done = run("generate", file, "--name", "the-log")
    assert (done.exit_code, file.read_text()) == (1, before)
    assert "is there already" in done.stderr


def test_keys_that_sign_are_shown_in_public(tmp_path: Path) -> None:
    files = [tmp_path / "old", tmp_path / "new"]
    shown = [run("generate", file, "--name", "the-log").stdout for file in files]
    assert len(set(shown)) == 2
    named = {"LIVEOPS_SIGNING_KEYS": ",".join(map(str, files))}
    assert run("show", **named).stdout == "".join(shown)
    assert run("show", files[1], **named).stdout == shown[1]


def test_the_home_keeps_one_key(tmp_path: Path) -> None:
    file = kept_key(tmp_path, "the-log")
    before = file.read_text()
    assert kept_key(tmp_path, "another") == file
    assert file.read_text() == before
    shown = run("show", LIVEOPS_HOME=str(tmp_path)).stdout.strip()
    assert public_key(str(file)).text() == shown


@pytest.mark.parametrize("content", [None, "", "PRIVATE+KEY+a+00000000+AAAA", "a key\n"])
def test_what_is_no_key_is_told(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_text(content)
    with pytest.raises(KeyUnusable, match=str(file)):
        read_keys([file])
