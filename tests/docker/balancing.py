"""The balancer of docker/, run on this machine: its own configuration, with other names."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from tests.docker.composed import DOCKER

SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Ports:
    """Where a gateway, or what stands in front of it, listens."""

    data: int
    control: int


def configured(directory: Path, front: Ports, health: int, replicas: Sequence[Ports]) -> list[str]:
    """Return the command of the balancer in front of two *replicas*; all it has is *directory*."""
    text = (DOCKER / "nginx" / "nginx.conf").read_text(encoding="utf-8")
    names = {
        # Names are looked up anew by releases from 1.27.3 on alone, and these have addresses.
        " resolve ": " ",
        "/tmp/": f"{directory}/",  # noqa: S108  the container's own
        "/dev/stdout": f"{directory}/access.log",
        "/dev/stderr": f"{directory}/error.log",
        "listen 8080": f"listen 127.0.0.1:{front.data}",
        "listen 8081": f"listen 127.0.0.1:{front.control}",
        "listen 127.0.0.1:8090": f"listen 127.0.0.1:{health}",
        "worker_processes auto": "worker_processes 1",
    }
    for number, ports in enumerate(replicas, 1):
        names[f"gateway-{number}:8080"] = f"127.0.0.1:{ports.data}"
        names[f"gateway-{number}:8081"] = f"127.0.0.1:{ports.control}"
    for before, after in names.items():
        assert before in text, before
        text = text.replace(before, after)
    if os.geteuid() == 0:
        text = f"user root;\n{text}"  # nobody could not go through the directories of tests
    directory.mkdir()
    file = directory / "nginx.conf"
    file.write_text(text, encoding="utf-8")
    return ["nginx", "-p", str(directory), "-c", str(file), "-e", f"{directory}/error.log"]


@contextmanager
def balancing(
    directory: Path, front: Ports, health: int, replicas: Sequence[Ports]
) -> Iterator[None]:
    """Run the balancer until the block ends."""
    command = [*configured(directory, front, health, replicas), "-g", "daemon off;"]
    with subprocess.Popen(command) as process:  # noqa: S603  fixed
        try:
            ends = time.monotonic() + SECONDS
            while not _is_up(health):
                assert process.poll() is None, (directory / "error.log").read_text()
                assert time.monotonic() < ends
            yield
        finally:
            process.terminate()


def _is_up(port: int) -> bool:
    try:
        answer = httpx2.get(f"http://127.0.0.1:{port}/", trust_env=False)
    except httpx2.TransportError:
        time.sleep(0.01)
        return False
    return answer.status_code == 204
