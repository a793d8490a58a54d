"""How much attention a record deserves, in the words of those who collect logs."""

from __future__ import annotations

from enum import Enum

from opentelemetry._logs import SeverityNumber

from storage.journal import Record


class Attention(Enum):
    """The severity of syslog (RFC 5424, section 6.2.1), and that of OpenTelemetry."""

    ROUTINE = (6, SeverityNumber.INFO, "INFO")
    DENIED = (5, SeverityNumber.INFO2, "NOTICE")
    UNDECIDED = (4, SeverityNumber.WARN, "WARN")


def attention(record: Record) -> Attention:
    match record.payload.get("verdict"):
        case "deny":
            return Attention.DENIED
        case "undecided":
            return Attention.UNDECIDED
    return Attention.ROUTINE
