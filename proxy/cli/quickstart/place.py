"""The directory of a quickstart, made once and used again, and the ports that belong to it."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proxy import policyfiles
from proxy.cli.quickstart import texts
from proxy.cli.quickstart.demo import HOST, PATH

USUAL_PORTS: Final = (8080, 8081)


class PlaceError(Exception):
    """The directory or a port cannot be used. The text says what to do."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where agents, administrators and the gateway itself connect."""

    data: int
    admin: int
    demo: int


@dataclass(frozen=True, slots=True)
class Place:
    """The files below *directory*."""

    directory: Path

    @property
    def settings(self) -> Path:
        return self.directory / "northgate.toml"

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def policies(self) -> Path:
        return self.data / "policies"

    @property
    def policy(self) -> Path:
        return self.policies / "demo.polar"

    @property
    def facts(self) -> Path:
        return self.directory / "facts.polar"

    @property
    def log(self) -> Path:
        return self.directory / "gateway.log"


def prepared(directory: Path, port: int | None) -> tuple[Place, list[str]]:
    """Return the place at *directory*, and what the reader should know about its making.

    *port* is where agents are to connect, in a new place. Raises `PlaceError`.
    """
    place = Place(directory.absolute())
    try:
        if place.settings.exists():
            return place, [f"Everything is in {place.directory}, as you left it."]
        _require_empty(place)
        ports = _chosen(port)
        _make(place, ports)
    except OSError as error:
        raise PlaceError(f"{directory} cannot be used: {error.strerror}.") from error
    return place, [f"Everything is in {place.directory}, a new directory.", *_about(ports, port)]


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens at this address. Raises `PlaceError` if it cannot."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise PlaceError(
            f"Nothing can listen on {host}:{port}: {os.strerror(error.errno or 0)}. Choose "
            "another port with --port, in a new directory with --dir, or end what listens there."
        ) from error


def _about(ports: Ports, port: int | None) -> Iterator[str]:
    wanted = USUAL_PORTS if port is None else (port, port + 1)
    taken = [str(one) for one in wanted if one not in (ports.data, ports.admin)]
    if taken:
        yield (
            f"Taken already: port {' and '.join(taken)}. Agents connect to {ports.data}, "
            f"administrators to {ports.admin}."
        )


def _require_empty(place: Place) -> None:
    if place.directory.exists() and any(place.directory.iterdir()):
        raise PlaceError(
            f"{place.directory} holds files, and no {place.settings.name} of a quickstart. Choose "
            "another --dir."
        )


def _make(place: Place, ports: Ports) -> None:
    place.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    policyfiles.seed(place.policies)
    place.policy.write_text(texts.POLICY, encoding="utf-8")
    place.facts.write_text(texts.FACTS, encoding="utf-8")
    settings = texts.SETTINGS.format(
        # A string of JSON is one of TOML, too.
        public_url=json.dumps(f"http://{HOST}:{ports.data}"),
        admin_url=json.dumps(f"http://{HOST}:{ports.admin}"),
        data_dir=json.dumps(str(place.data)),
        data_listen=json.dumps(f"{HOST}:{ports.data}"),
        admin_listen=json.dumps(f"{HOST}:{ports.admin}"),
        upstream_url=json.dumps(f"http://{HOST}:{ports.demo}{PATH}"),
    )
    # The last one, for it tells that the others are there.
    place.settings.write_text(settings, encoding="utf-8")


def _chosen(port: int | None) -> Ports:
    """Return *port* or the usual one with two more, free ones instead of any that is taken."""
    with ExitStack() as stack:
        # Each is held until all are chosen, so that no two are the same.
        if port is None:
            data = stack.enter_context(_free(USUAL_PORTS[0]))
            admin = stack.enter_context(_free(USUAL_PORTS[1]))
        else:
            data = stack.enter_context(listening(HOST, port))
            admin = stack.enter_context(_free(port + 1))
        demo = stack.enter_context(listening(HOST, 0))
        return Ports(*(one.getsockname()[1] for one in (data, admin, demo)))


def _free(wanted: int) -> socket.socket:
    try:
        return listening(HOST, wanted)
    except (PlaceError, OverflowError):
        return listening(HOST, 0)
