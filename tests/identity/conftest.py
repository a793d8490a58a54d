"""What is shared over a database is tested on each kind that there is."""

from __future__ import annotations

from tests.storage.postgres import postgres
from tests.storage.state.conftest import place, served, used

__all__ = ["place", "postgres", "served", "used"]
