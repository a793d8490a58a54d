"""What libraries log, and Python's own warnings, in the form of our events."""

from __future__ import annotations

import logging
from typing import Final, Self

from proxy.telemetry.events import LEVELS, Events

_NAMES: Final = {number: name for name, number in LEVELS.items()}


class LibraryLog(logging.Handler):
    """Hands to *events* what is logged at warning and above; a `with` block takes it over."""

    def __init__(self, events: Events) -> None:
        super().__init__(logging.WARNING)
        self._events = events

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        level = _NAMES[min(record.levelno // 10 * 10, logging.ERROR)]
        self._events.library_message(
            library=record.name, level=level, message=_message(record), error=error
        )

    def __enter__(self) -> Self:
        logging.getLogger().addHandler(self)
        logging.captureWarnings(capture=True)
        return self

    def __exit__(self, *_: object) -> None:
        logging.captureWarnings(capture=False)
        logging.getLogger().removeHandler(self)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001  the arguments of a library do what they want
        return record.msg if isinstance(record.msg, str) else type(record.msg).__name__
