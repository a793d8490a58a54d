"""What must be right before anything listens, and everything that is not, told at once."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Final

from policies.bundle import Bundle, BundleError, FailedTestsError
from policies.polar.source import PolicyError, Severity
from proxy import policyfiles, replacing
from proxy.config import Settings
from proxy.config.shape import leaves
from proxy.config.tree import Upstream as UpstreamSettings
from proxy.datadir import DataDirectory, DataDirectoryError
from proxy.identity.rekeying import MODE
from proxy.identity.sealing import DamagedError, MasterKey, MasterKeyError, master_key
from proxy.upstream.addresses import AddressError, Upstream
from proxy.upstream.reach import located
from storage.secrets import SecretLedger

UNSERVED: Final = (
    "policy.source",
    "pdp.kind",
    "pdp.max_context_facts",
    "record.require",
    "data.trusted_proxies",
    "admin.stdio_registration",
    "limits.session_idle_seconds",
)
"""Settings that are understood, and that nothing heeds yet."""


class NotStartableError(Exception):
    """The gateway cannot start; `problems` are sentences, each of which says what to do (R08)."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))


@dataclass(frozen=True, slots=True)
class Ready:
    """All that was read from the disk before the gateway came to life, in so many `seconds`."""

    place: DataDirectory
    master: MasterKey
    bundle: Bundle
    upstreams: Mapping[str, Upstream]
    seconds: float


def prepare(settings: Settings, environ: Mapping[str, str]) -> Ready:
    """Return what the gateway starts from. Raises `NotStartableError` with every problem."""
    began = time.monotonic()
    problems = [*_unserved(settings), *_shared_address(settings)]
    place = DataDirectory(settings.data_dir)
    master = _opened(place, settings.mode, environ, problems)
    bundle = _policy(settings, problems)
    upstreams = {
        name: found
        for name, upstream in settings.upstreams.items()
        if (found := _upstream(name, upstream, problems)) is not None
    }
    if problems or master is None or bundle is None:
        raise NotStartableError(problems)
    return Ready(place, master, bundle, upstreams, time.monotonic() - began)


async def claim(secrets: SecretLedger, mode: str) -> None:
    """Claim the database of *secrets* for *mode*.

    Raises `NotStartableError` if it belongs to another mode, and `StateError`.
    """
    if await secrets.replace(MODE, None, mode):
        return
    found = await secrets.read(MODE)
    if found != mode:
        sentence = (
            f"The database belongs to a gateway in mode {found!r} and cannot serve in mode "
            f"{mode!r}. Choose another database.url."
        )
        raise NotStartableError([sentence])


def _unserved(settings: Settings) -> Iterator[str]:
    """Yield what is set and does nothing yet: a promise that is not kept is worse than none."""
    document = settings.model_dump()
    usual = {leaf.key: leaf.default for leaf in leaves()}
    for key in UNSERVED:
        value = reduce(lambda table, name: table[name], key.split("."), document)
        if value != usual[key]:
            yield f"{key}: this is not served yet. Leave it out, or set it to {usual[key]!r}."


def _shared_address(settings: Settings) -> Iterator[str]:
    listen = settings.data.listen
    if listen == settings.admin.listen and listen.port:
        yield f"admin.listen: {listen} is taken by data.listen. Choose another port."


def _opened(
    place: DataDirectory, mode: str, environ: Mapping[str, str], problems: list[str]
) -> MasterKey | None:
    try:
        place.prepare(mode)
        return master_key(place.master_key, environ)
    except (DataDirectoryError, MasterKeyError, DamagedError) as error:
        problems.append(str(error))
        return None


def _policy(settings: Settings, problems: list[str]) -> Bundle | None:
    path: Path = settings.policy.path
    try:
        if path == settings.data_dir / "policies":
            policyfiles.seed(path)
        replacing.finish(path)
        return policyfiles.load(path, portable=settings.policy.portable)
    except PolicyError as error:
        wrong = [one for one in error.problems if one.severity is Severity.ERROR]
        problems += [f"{path}/{one}" for one in wrong]
    except (BundleError, FailedTestsError) as error:
        problems += error.problems
    except OSError as error:
        problems.append(f"{path}: {error.strerror}.")
    return None


def _upstream(name: str, settings: UpstreamSettings, problems: list[str]) -> Upstream | None:
    where = f"upstreams.{name}"
    if settings.transport != "http" or settings.url is None:
        problems.append(f"{where}: only the transport `http` is served so far.")
        return None
    try:
        return located(settings.url, settings.network)
    except AddressError as error:
        problems.append(f"{where}.url: {error} Where it may be is {where}.network.")
        return None
