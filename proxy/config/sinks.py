"""What the settings of a sink demand of each other."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from proxy.config.checks import Draft, is_safe
from proxy.config.entries import SINKS
from proxy.config.problems import Problem, dotted
from proxy.config.values import SyslogAddress, is_loopback
from proxy.upstream.presented import header_problem, names_problem

_OWN: Final = {
    "stdout": (),
    "otlp": ("endpoint", "headers", "bearer", "ca_file"),
    "syslog": ("address", "facility", "ca_file"),
    "webhook": ("url", "headers", "bearer", "signing_key", "ca_file"),
}
"""What belongs to one kind of sink or another; the rest belongs to all."""

_NEEDED: Final = {"syslog": "address", "webhook": "url"}
_HTTPS: Final = "Use https; plain http is for loopback hosts only."
_CLEAR: Final = "The record travels in the clear. Use {}."


def sink_contradictions(draft: Draft) -> Iterator[Problem]:
    """Yield all that cannot hold of each sink."""
    for name in draft.sinks:
        sink = _Sink(draft, name)
        yield from sink.headers()
        if "kind" not in sink.given:
            yield sink.problem("kind", "Write what it is: stdout, otlp, syslog or webhook.")
        elif sink.get("kind") is not None:
            yield from sink.belongings()
        if sink.get("kinds") == ():
            yield sink.problem("kinds", "Name at least one kind of record, or remove it.")
        if sink.get("kind") == "webhook" and not is_safe(sink.get("url") or "https://"):
            yield sink.problem("url", _HTTPS)
        yield from sink.certificates()


def sink_cautions(draft: Draft) -> Iterator[Problem]:
    """Yield what is allowed of a sink and probably not meant."""
    for name in draft.sinks:
        sink = _Sink(draft, name)
        address = sink.get("address")
        if address and address.transport != "tls" and not is_loopback(address.host):
            yield sink.problem("address", _CLEAR.format("tls://"))
        if not is_safe(sink.get("endpoint") or "https://"):
            yield sink.problem("endpoint", _CLEAR.format("https"))


class _Sink:
    """One sink of *draft*. `given` are the first parts of all its keys, right or wrong."""

    def __init__(self, draft: Draft, name: str) -> None:
        self._draft = draft
        self._around = (*SINKS, name)
        self._where = draft.sinks[name]
        self._paths = [one for one in draft.places if one[:3] == self._around]
        self.given = {one[3] for one in self._paths}

    def get(self, key: str) -> Any:  # noqa: ANN401  any setting's value
        """Return what was given rightly for *key*, or None."""
        return self._draft.values.get((*self._around, key))

    def problem(self, key: str, message: str) -> Problem:
        path = (*self._around, key)
        below = (self._draft.places[one] for one in self._paths if one[:4] == path)
        return Problem(dotted(path), message, next(below, self._where))

    def belongings(self) -> Iterator[Problem]:
        """Yield what its kind needs and lacks, and what belongs to others."""
        kind = self.get("kind")
        needed = _NEEDED.get(kind)
        if needed and needed not in self.given:
            yield self.problem(needed, f"The kind `{kind}` needs {needed}.")
        is_known = "endpoint" in self.given or self._draft.is_given("telemetry.otlp_endpoint")
        if kind == "otlp" and not is_known:
            message = "The kind `otlp` needs endpoint, or telemetry.otlp_endpoint."
            yield self.problem("endpoint", message)
        others = {key for keys in _OWN.values() for key in keys} - set(_OWN[kind])
        for key in sorted(others & self.given):
            kinds = " or ".join(f"`{one}`" for one, keys in _OWN.items() if key in keys)
            yield self.problem(key, f"It belongs to {kinds}. Set kind, or remove it.")

    def headers(self) -> Iterator[Problem]:
        paths = [one for one in self._paths if one[3] == "headers" and len(one) > 4]  # noqa: PLR2004  the name of one
        for path in paths:
            message = header_problem(path[-1])
            if path[-1].lower().startswith("northgate-"):
                message = "The gateway sets this header itself; leave it out."
            if message is not None:
                yield Problem(dotted(path), message, self._draft.places[path])
        together = names_problem(path[-1] for path in paths)
        if together is not None:
            yield self.problem("headers", together)

    def certificates(self) -> Iterator[Problem]:
        path, address = self.get("ca_file"), self.get("address")
        if not isinstance(path, Path):
            return
        if isinstance(address, SyslogAddress) and address.transport != "tls":
            yield self.problem("ca_file", "It belongs to tls:// alone. Remove it.")
            return
        try:
            ssl.create_default_context(cafile=str(path))
        except OSError as error:
            reason = (
                "it holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
            )
            yield self.problem("ca_file", f"The file cannot be used: {reason}.")
