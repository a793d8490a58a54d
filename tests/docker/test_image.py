"""The image: what goes into it, and whether a container is ready."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import requires, version
from pathlib import Path
from threading import Thread

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.cli.started import free_ports
from tests.docker.composed import DOCKER, ROOT, instructions, sentences

LINUX = {
    "sys_platform": "linux",
    "platform_system": "Linux",
    "os_name": "posix",
    "python_version": "3.13",
    "python_full_version": "3.13.14",
}


def locked(path: Path) -> dict[str, str]:
    """Return what a lock says of each package: version, marker and hashes."""
    lines = path.read_text(encoding="utf-8").splitlines()
    whole = "\n".join(line for line in lines if not line.strip().startswith("#"))
    entries = re.split(r"\n(?=\S)", whole.strip())
    return {re.split(r"[\[=;\s]", one, maxsplit=1)[0]: one.strip() for one in entries}


def needed(texts: list[str], extras: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield every package that *texts* require in the image, more than once if need be."""
    for one in map(Requirement, texts):
        wanted = [LINUX | {"extra": extra} for extra in extras or {""}]
        if one.marker is None or any(one.marker.evaluate(each) for each in wanted):
            yield canonicalize_name(one.name)
            yield from needed(requires(one.name) or [], frozenset(one.extras))


def test_the_image_has_what_the_tests_ran_with_and_nothing_else() -> None:
    tested = locked(ROOT / "requirements.lock")
    shipped = locked(DOCKER / "requirements.lock")

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = set(needed(project["dependencies"]))

    assert {name: text for name, text in shipped.items() if tested.get(name) != text} == {}
    assert wanted - shipped.keys() == set()
    # What is more is for other systems.
    more = [shipped[name] for name in shipped.keys() - wanted]
    assert [text for text in more if not re.search(r"win32|emscripten", text)] == []


def test_what_builds_the_package_is_locked_too() -> None:
    tested = locked(ROOT / "requirements.lock")

    assert locked(DOCKER / "build.lock") == {"setuptools": tested["setuptools"]}


def test_the_locks_name_no_place_to_fetch_from() -> None:
    for name in ("requirements.lock", "build.lock"):
        lines = (DOCKER / name).read_text(encoding="utf-8").splitlines()
        assert [line for line in lines if "://" in line or line.startswith("-")] == []


def test_all_that_is_installed_from_elsewhere_is_checked_by_its_hash() -> None:
    commands = [one for name, rest in instructions() if name == "RUN" for one in sentences(rest)]
    installs = [one for one in commands if "install" in one and "pip" in one]

    assert len(installs) == 3
    for one in installs:
        from_a_lock = "--require-hashes" in one and one[-1].endswith(".lock")
        assert from_a_lock or "--no-index" in one, one


def test_nothing_comes_into_the_build_but_what_it_copies() -> None:
    ignored = (DOCKER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in ignored if line and not line.startswith("#")]
    let_in = {line.removeprefix("!") for line in rules if line.startswith("!")}
    copies = [rest.split()[:-1] for name, rest in instructions() if name == "COPY"]
    copied = {one for words in copies for one in words if not words[0].startswith("--from")}

    assert rules[0] == "*"
    assert let_in == copied
    assert all((ROOT / one).exists() for one in copied)
    assert {"tests", "docker/secrets", ".git"} & {one.split("/")[0] for one in copied} == set()


def test_the_gateway_is_told_to_stop_by_the_signal_that_it_takes() -> None:
    said = {name: rest for name, rest in instructions() if name != "RUN"}

    assert said["STOPSIGNAL"] == "SIGTERM"
    # No shell in between, which would keep the signal for itself.
    assert (said["ENTRYPOINT"], said["CMD"]) == ('["northgate"]', '["serve"]')


def asked(listen: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(DOCKER / "ready.py")]
    environment = {"NORTHGATE_ADMIN__LISTEN": listen}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603  ours


@contextmanager
def answering(status: int, hosts: list[str]) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hosts.append(f"{self.headers['Host']}{self.path}")
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1), (421, 1)])
def test_a_container_is_healthy_while_its_gateway_is_ready_whatever_its_url_is(
    status: int, code: int
) -> None:
    hosts: list[str] = []
    with answering(status, hosts) as port:
        done = asked(f"0.0.0.0:{port}")

    assert done.returncode == code, done.stderr
    assert hosts == [f"0.0.0.0:{port}/ready"]


def test_a_container_without_a_gateway_is_not_healthy() -> None:
    [port] = free_ports(1)

    done = asked(f"0.0.0.0:{port}")

    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout


@pytest.mark.fuzz
def test_the_steps_of_the_build_make_a_gateway_that_runs_where_nothing_can_be_written(
    tmp_path: Path,
) -> None:
    place, target = tmp_path / "build", tmp_path / "northgate"
    place.mkdir()
    base = tmp_path / "base"
    subprocess.run([sys.executable, "-m", "venv", str(base)], check=True)  # noqa: S603  ours
    build = instructions()[: max(n for n, (name, _) in enumerate(instructions()) if name == "FROM")]

    for name, rest in build:
        text = rest.replace("/opt/northgate", str(target))
        if name == "COPY":
            *sources, where = text.split()
            for source in sources:
                to = place / where if where != "./" else place / Path(source).name
                copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
                copy(ROOT / source, to)
        elif name == "RUN":
            path = f"{base}/bin:/usr/bin:/bin"
            subprocess.run(["/bin/sh", "-euc", text], cwd=place, env={"PATH": path}, check=True)  # noqa: S603  ours

    command = [str(target / "bin" / "northgate"), "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603  ours
    assert done.stdout == f"northgate {version('northgate')}\n"
    modules = list(target.rglob("proxy/**/*.py"))
    assert len(modules) > 100
    assert [one for one in modules if not list(one.parent.glob(f"__pycache__/{one.stem}.*"))] == []
    assert not list(target.glob("lib/*/site-packages/tests"))
