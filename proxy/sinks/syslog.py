"""The record as syslog messages (RFC 5424), over UDP (RFC 5426), TCP (RFC 6587) or TLS (RFC 5425).

Syslog has no answer. Over TCP and TLS each batch has a connection of its own, and counts as taken
when the other end has read it to its end and said so by ending the connection too: over TLS with
its own close_notify, as section 4.4 of RFC 5425 demands. Over UDP nobody can know.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from proxy.sinks.attention import attention
from proxy.sinks.batches import Copy
from proxy.sinks.errors import LateError, RefusedError, UnreachableError, UntrustedError
from proxy.sinks.threads import aside

SD_ID: Final = "northgate@32473"
"""32473 is the enterprise number for documentation (RFC 5612): we have none of our own."""

MOST_DATAGRAM: Final = 65_507
_ANSWER_BYTES: Final = 64 * 1024

FACILITIES: Final = {
    "user": 1, "daemon": 3, "auth": 4, "authpriv": 10, "audit": 13, "local0": 16, "local1": 17,
    "local2": 18, "local3": 19, "local4": 20, "local5": 21, "local6": 22, "local7": 23,
}  # fmt: skip
"""RFC 5424, section 6.2.1: those that a program like this one may have."""


@dataclass(frozen=True, slots=True)
class Line:
    """Where to send: `context` is there for TLS. Every wait ends after `seconds`."""

    host: str
    port: int
    seconds: float
    context: ssl.SSLContext | None = None


class SyslogDatagrams:
    """Sends each record as a datagram."""

    def __init__(self, line: Line, facility: str) -> None:
        self._line = line
        self._facility = FACILITIES[facility]

    async def take(self, copies: Sequence[Copy]) -> None:
        sent = [message(one, self._facility, most=MOST_DATAGRAM) for one in copies]
        await aside(partial(_send_each, self._line, sent))

    async def close(self) -> None:
        """There is no connection."""


class SyslogStream:
    """Sends records with their lengths before them (octet counting)."""

    def __init__(self, line: Line, facility: str) -> None:
        self._line = line
        self._facility = FACILITIES[facility]

    async def take(self, copies: Sequence[Copy]) -> None:
        sent = (message(one, self._facility) for one in copies)
        await aside(partial(_send_all, self._line, b"".join(map(_framed, sent))))

    async def close(self) -> None:
        """There is no connection but those that end with their batch."""


def message(copy: Copy, facility: int, *, most: int | None = None) -> bytes:
    """Return *copy* as one message.

    Of what is longer than *most* bytes the end is left out, and `cut` tells how many bytes.
    """
    record, text = copy.record, copy.line.rstrip(b"\n")
    severity, _, _ = attention(record).value
    start = (
        f"<{8 * facility + severity}>1 {record.time} {record.chain.node} northgate "
        f'{record.chain.worker} {record.kind} [{SD_ID} id="{record.id}" seq="{record.seq}"'
    ).encode()
    whole = start + b"] " + text
    # No byte order mark before it: a reader of JSON would stumble, and section 6.4 allows that.
    if most is None or len(whole) <= most:
        return whole
    kept = most - len(start) - len(b' cut="0000000"] ')
    return b'%b cut="%d"] %b' % (start, len(text) - kept, text[:kept])


def _framed(one: bytes) -> bytes:
    return b"%d %b" % (len(one), one)


def _send_each(line: Line, sent: Sequence[bytes]) -> None:
    try:
        found = socket.getaddrinfo(line.host, line.port, type=socket.SOCK_DGRAM)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as outgoing:
            outgoing.settimeout(line.seconds)
            outgoing.connect(address)
            for one in sent:
                outgoing.send(one)
    except OSError as error:
        raise _told(error) from error


def _send_all(line: Line, data: bytes) -> None:
    try:
        with socket.create_connection((line.host, line.port), line.seconds) as plain:
            if line.context is None:
                plain.sendall(data)
                plain.shutdown(socket.SHUT_WR)
                _await_end(plain)
                return
            with line.context.wrap_socket(plain, server_hostname=line.host) as secure:
                secure.sendall(data)
                secure.unwrap().close()
    except OSError as error:
        raise _told(error) from error


def _await_end(plain: socket.socket) -> None:
    said = 0
    while some := plain.recv(4096):
        said += len(some)
        if said > _ANSWER_BYTES:
            raise RefusedError("it says more than any syslog server does")


def _told(error: OSError) -> LateError | UntrustedError | UnreachableError:
    match error:
        case TimeoutError():
            return LateError("no end of the batch was acknowledged in time")
        case ssl.SSLCertVerificationError():
            return UntrustedError(error.verify_message)
    return UnreachableError(f"{type(error).__name__}: {error.strerror or error.errno}")
