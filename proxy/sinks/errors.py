"""Why a sink did not take a batch. None of these ever holds a secret or a part of a record."""

from __future__ import annotations

from proxy.shipping import NotTakenError


class UnreachableError(NotTakenError):
    """There is no connection, or it broke."""

    code = "sink-unreachable"
    public = "The sink cannot be reached. Look whether it runs, and whether its address is right."


class UntrustedError(NotTakenError):
    """It did not prove that it is the one that was meant."""

    code = "sink-untrusted"
    public = "The sink's certificate is not trusted. Set `ca_file` to that of its authority."


class LateError(NotTakenError):
    """It did not take the batch in time."""

    code = "sink-late"
    public = "The sink is too slow. Give it more `timeout_seconds` or fewer `batch_records`."


class RefusedError(NotTakenError):
    """It answered, and did not take the batch."""

    code = "sink-refused"
    public = "The sink refuses the record. Look at its own log for the cause."
