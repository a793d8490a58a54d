"""`northgate backup` and `northgate restore`, as they are typed."""

from __future__ import annotations

import stat
import sys
from base64 import urlsafe_b64encode
from collections.abc import Callable
from io import TextIOWrapper
from pathlib import Path
from shutil import copy
from typing import BinaryIO, cast

import pytest
from typer.testing import CliRunner

from proxy.cli.backup import files, writing
from proxy.cli.control.endings import CommandError, ended
from proxy.cli.main import app
from tests.cli.running import Ran
from tests.storage.state.filled import KEY, OTHER_KEY, backed_up, filled
from tests.storage.state.places import FilePlace

MASTER = "NORTHGATE_MASTER_KEY"


def text_of(key: bytes) -> str:
    return urlsafe_b64encode(key).rstrip(b"=").decode()


class Home:
    """A gateway's directory, its settings, and the commands run with them."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.directory = directory
        self.config = directory / "northgate.toml"
        self.config.write_text(f'data_dir = "{directory / "data"}"\n', encoding="utf-8")
        self.environment: dict[str, str | None] = {MASTER: text_of(b"k" * 32)}

    @property
    def database(self) -> Path:
        return self.directory / "data" / "northgate.db"

    def run(self, *args: str | Path) -> Ran:
        words = [*map(str, args), "--config", str(self.config)]
        done = CliRunner().invoke(app, words, env=self.environment)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Ran(done.exit_code, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> FilePlace:
    place = FilePlace(tmp_path_factory.mktemp("made"))
    filled(place)
    return place


@pytest.fixture
def home(tmp_path: Path, made: FilePlace) -> Home:
    found = Home(tmp_path / "home")
    found.database.parent.mkdir()
    copy(made.file, found.database)
    return found


@pytest.fixture
def new(tmp_path: Path) -> Home:
    return Home(tmp_path / "new")


@pytest.fixture
def backup(tmp_path: Path, made: FilePlace) -> Path:
    path = tmp_path / "state.backup"
    path.write_bytes(backed_up(made).getvalue())
    return path


def test_a_backup_is_for_its_owner_alone_and_alone(home: Home, tmp_path: Path) -> None:
    assert home.run("backup", tmp_path / "b").code == 0

    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o600
    assert sorted(one.name for one in tmp_path.iterdir()) == ["b", "home"]


def test_what_is_not_in_a_backup_is_said_with_where_it_is(home: Home, tmp_path: Path) -> None:
    said = home.run("backup", tmp_path / "b").out

    assert said.startswith(f"{tmp_path / 'b'} is written: 24 rows of ")
    assert "\\u" not in said
    assert f"{KEY.id}, without which what is sealed is lost: keep a copy of {MASTER}" in said
    assert str(home.directory / "data" / "journal") in said
    assert str(home.directory / "data" / "policies") in said


def test_a_file_that_exists_is_not_lost_by_mistake(home: Home, tmp_path: Path) -> None:
    path = tmp_path / "b"
    path.write_text("precious")

    refused = home.run("backup", path)
    assert (refused.code, path.read_text()) == (2, "precious")
    assert "--force" in refused.err

    assert home.run("backup", path, "--force").code == 0
    assert home.run("restore", path, "--check").code == 0


def test_scripts_are_told_what_people_are(home: Home, tmp_path: Path) -> None:
    path = tmp_path / "b"
    written = home.run("backup", path, "--json").document
    checked = home.run("restore", path, "--check", "--json").document

    assert written.pop("bytes") == path.stat().st_size
    assert written.pop("not_included").keys() == {"master_key", "record", "policy"}
    assert written == {name: value for name, value in checked.items() if name != "proven"}
    assert checked["proven"] is True
    assert checked["rows"]["facts"] == 3


def test_a_state_is_restored_where_nothing_was(backup: Path, new: Home) -> None:
    done = new.run("restore", backup)

    assert done.code == 0
    assert "facts" in done.out
    assert "do it again" in done.out
    assert new.database.exists()
    assert new.run("backup", backup.with_suffix(".2"), "--json").document["rows"]["facts"] == 3


def test_a_state_that_is_there_is_replaced_only_if_that_is_said(backup: Path, home: Home) -> None:
    refused = home.run("restore", backup)
    assert (refused.code, refused.out) == (1, "")
    assert "--replace" in refused.err

    assert home.run("restore", backup, "--replace").code == 0


@pytest.mark.parametrize("arguments", [(), ("--check",)])
def test_a_damaged_backup_is_refused_with_a_sentence(
    backup: Path, new: Home, arguments: tuple[str, ...]
) -> None:
    backup.write_bytes(backup.read_bytes() + b"\0")

    done = new.run("restore", backup, *arguments)

    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error[backup-damaged]: This file is no backup, or was cut short")
    assert not new.database.exists()


def test_a_backup_of_another_master_key_is_refused_but_can_be_checked(
    backup: Path, new: Home
) -> None:
    new.environment[MASTER] = text_of(b"o" * 32)

    refused = new.run("restore", backup)
    checked = new.run("restore", backup, "--check")

    assert refused.code == 1
    assert KEY.id in refused.err
    assert OTHER_KEY.id in refused.err
    assert not new.database.exists()
    assert checked.code == 0
    assert f"Only the master key {KEY.id}" in checked.out


def test_a_backup_can_be_checked_where_no_gateway_is(
    backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    done = CliRunner().invoke(app, ["restore", str(backup), "--check"])

    assert done.exit_code == 0
    assert sorted(one.name for one in tmp_path.iterdir()) == ["state.backup"]


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda home: home.database.unlink(), "no-database"),
        (lambda home: home.environment.update({MASTER: "no key"}), "master-key"),
        (lambda home: home.environment.update({MASTER: None}), "no-master-key"),
        (lambda home: home.config.write_text("nonsense = 1\n"), "settings"),
        (lambda home: home.config.write_text('database.url = "sqlite:////dev/null/x"\n'), "no-da"),
    ],
)
def test_what_cannot_be_backed_up_is_told_and_nothing_is_made(
    home: Home,
    tmp_path: Path,
    spoil: Callable[[Home], object],
    code: str,
) -> None:
    spoil(home)
    before = sorted(tmp_path.rglob("*"))

    done = home.run("backup", tmp_path / "b")

    assert done.code == 2
    assert done.err.startswith(f"error[{code}")
    assert "\\u" not in done.err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["absent/b", "home"])
def test_a_place_that_takes_no_file_is_told(home: Home, tmp_path: Path, name: str) -> None:
    done = home.run("backup", tmp_path / name)

    assert done.code == 2
    assert "Traceback" not in done.err


def test_a_file_that_is_not_there_cannot_be_restored(home: Home, tmp_path: Path) -> None:
    assert home.run("restore", tmp_path / "absent").code == 2


def fill_the_disk(path: Path) -> None:
    with files.written(path, force=True) as file:
        file.write(b"half")
        Path("/dev/full").write_bytes(b"the rest")


def test_a_disk_that_fills_up_leaves_no_file_and_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "b"
    path.write_text("precious")

    with pytest.raises(CommandError, match="No space left"):
        fill_the_disk(path)

    assert [(one, one.read_text()) for one in tmp_path.iterdir()] == [(path, "precious")]


def test_a_backup_goes_to_stdout_alone(home: Home, new: Home, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app, ["backup", "-", "--config", str(home.config)], env=home.environment
    )
    (tmp_path / "b").write_bytes(done.stdout_bytes)

    assert done.exit_code == 0
    assert "Not in it" in done.stderr
    assert new.run("restore", tmp_path / "b").code == 0


def test_a_stdout_that_takes_no_more_is_told(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = {MASTER: text_of(b"k" * 32)}

    def work() -> None:
        writing.run(Path("-"), home.config, environment, force=False, json=False)

    with Path("/dev/full").open("r+b", buffering=0) as full, monkeypatch.context() as patched:
        stdout = TextIOWrapper(cast("BinaryIO", full))
        patched.setattr(sys, "stdout", stdout)
        code = ended(work, json=False)
        stdout.detach()

    assert code == 2
    assert "No space left" in capsys.readouterr().err


def test_json_and_the_backup_do_not_share_stdout(home: Home) -> None:
    assert home.run("backup", "-", "--json").code == 2
