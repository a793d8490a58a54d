"""The record to a web server: batches of JSON lines, to the byte as the journal has them."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Final

from proxy.identity.sealing import Secret
from proxy.sinks.batches import Copy
from proxy.sinks.posting import Poster

SIGNATURE: Final = "Northgate-Signature"


class Webhook:
    """Posts to whatever *poster* does; under *key*, each body is signed."""

    def __init__(self, poster: Poster, key: Secret | None = None) -> None:
        self._poster = poster
        self._key = key

    async def take(self, copies: Sequence[Copy]) -> None:
        body = b"".join(one.line for one in copies)
        headers = {"Content-Type": "application/x-ndjson"}
        if self._key is not None:
            signature = hmac.digest(self._key.reveal(), body, "sha256").hex()
            headers[SIGNATURE] = f"sha256={signature}"
        await self._poster.post(body, headers)

    async def close(self) -> None:
        await self._poster.close()
