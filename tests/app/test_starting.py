"""What must be right before anything listens."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config import Settings, load
from proxy.datadir import DataDirectory, DataDirectoryError
from proxy.starting import UNSERVED, NotStartableError, prepare


def settings(directory: Path, text: str = "") -> Settings:
    file = directory / "northgate.toml"
    file.write_text(f'data_dir = "{directory / "data"}"\n{text}', encoding="utf-8")
    return load(file, {})


def problems(directory: Path, text: str) -> tuple[str, ...]:
    with pytest.raises(NotStartableError) as caught:
        prepare(settings(directory, text), {})
    return caught.value.problems


def test_a_first_start_makes_the_directory_for_its_owner_and_seeds_the_shipped_policy(
    tmp_path: Path,
) -> None:
    ready = prepare(settings(tmp_path), {})

    data = tmp_path / "data"
    assert data.stat().st_mode & 0o077 == 0
    assert (data / "policies" / "allow.polar").exists()
    assert set(ready.bundle.sources) == {path.name for path in (data / "policies").iterdir()}
    assert ready.master.id == prepare(settings(tmp_path), {}).master.id


def test_an_edited_policy_is_not_seeded_over(tmp_path: Path) -> None:
    prepare(settings(tmp_path), {})
    extra = tmp_path / "data" / "policies" / "mine.polar"
    extra.write_text('has_role(Client{"ci"}, "caller", Server{"x"});', encoding="utf-8")

    assert "mine.polar" in prepare(settings(tmp_path), {}).bundle.sources


def test_a_directory_of_another_mode_is_refused(tmp_path: Path) -> None:
    prepare(settings(tmp_path, 'mode = "enterprise"\n'), {})

    (problem,) = problems(tmp_path, 'mode = "development"\n')

    assert "'enterprise'" in problem
    assert "'development'" in problem


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    place = tmp_path / "rules"
    place.mkdir()
    (place / "broken.polar").write_text("allow(x, y, z) if nonsense(", encoding="utf-8")

    found = problems(
        tmp_path,
        f'policy.path = "{place}"\n'
        'record.require = "database"\n'
        "[upstreams.far]\n"
        'url = "http://far.example/mcp"\n'
        "[upstreams.child]\n"
        'transport = "stdio"\ncommand = "serve"\n',
    )

    text = "\n".join(found)
    assert "record.require" in text
    assert "broken.polar:1" in text
    assert "upstreams.far.url" in text
    assert "upstreams.child" in text


def test_a_policy_that_breaks_its_own_tests_is_refused(tmp_path: Path) -> None:
    prepare(settings(tmp_path), {})
    wrong = tmp_path / "data" / "policies" / "wrong.polar"
    wrong.write_text(
        'test "nobody is allowed" {\n  assert allow(User{"ann"}, "call", Tool{"x__y"});\n}\n',
        encoding="utf-8",
    )

    (problem,) = problems(tmp_path, "")

    assert "nobody is allowed" in problem


@pytest.mark.parametrize("key", UNSERVED)
def test_a_setting_that_nothing_heeds_yet_is_refused(tmp_path: Path, key: str) -> None:
    values = {
        "policy.source": '"database"',
        "pdp.kind": '"oso_cloud"\npdp.url = "https://pdp.example/"\npdp.api_key = "k"',
        "record.require": '"database"',
        "data.trusted_proxies": '["10.0.0.0/8"]',
        "admin.stdio_registration": "true",
    }

    found = problems(tmp_path, f"{key} = {values.get(key, '17')}\n")

    assert any(problem.startswith(f"{key}: ") for problem in found)


def test_two_listeners_do_not_share_an_address(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, 'data.listen = "127.0.0.1:8081"\n')

    assert problem.startswith("admin.listen: ")


def test_a_place_that_cannot_be_a_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("", encoding="utf-8")

    with pytest.raises(DataDirectoryError):
        DataDirectory(tmp_path / "taken").prepare("enterprise")
