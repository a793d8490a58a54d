"""When keys change by themselves: the next one is published long before it signs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from proxy.identity.keyring import Keyring, KeyState

DAY_SECONDS: Final = 86_400

_LONGEST_PUBLISHED: Final = 30 * DAY_SECONDS
_LONGEST_LEFT: Final = 7 * DAY_SECONDS
_SEEN_SECONDS: Final = 3_600


class Step(Enum):
    """What is due."""

    PREPARE = auto()
    ROTATE = auto()


@dataclass(frozen=True, slots=True)
class Schedule:
    """The life of a signing key, in seconds; 0 is a life without an end.

    The next key is prepared when half of the life is left, at most thirty days; it signs when a
    sixth is left, at most seven days.
    """

    life: int

    def due(self, keyring: Keyring, now: float) -> Step | None:
        """Return what *keyring* needs at *now*, in seconds since the epoch."""
        active = keyring.in_state(KeyState.ACTIVE)
        if not self.life or active is None:
            return None
        left = active.since + self.life - now
        prepared = keyring.in_state(KeyState.PREPARED)
        if prepared is None:
            return Step.PREPARE if left <= min(self.life // 2, _LONGEST_PUBLISHED) else None
        last = self.life // 6
        # Even a gateway that was off for a year lets others see a key before it signs.
        is_seen = now - prepared.since >= min(last, _SEEN_SECONDS)
        return Step.ROTATE if is_seen and left <= min(last, _LONGEST_LEFT) else None
