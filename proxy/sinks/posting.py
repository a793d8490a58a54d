"""Batches over HTTP: one request each, to the one address that the operator set."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Final

import aiohttp

from proxy.sinks.errors import LateError, RefusedError, UnreachableError, UntrustedError

_ANSWER_BYTES: Final = 64 * 1024


class Poster:
    """Posts to *url* with *headers*, each within *seconds*. Belongs to the running event loop.

    No redirect is followed, no cookie is kept, no variable that names a proxy is read, and over
    https the certificate is checked under *context*.
    """

    def __init__(
        self, url: str, headers: Mapping[str, str], seconds: float, context: ssl.SSLContext
    ) -> None:
        self._url = url
        # A connection that is kept may be closed by the other end just when it is used again, and
        # nobody could tell what became of the request. Batches are rare enough to have their own.
        connector = aiohttp.TCPConnector(ssl=context, force_close=True)
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=seconds),
            trust_env=False,
        )

    async def post(self, body: bytes, headers: Mapping[str, str]) -> bytes:
        """Return the beginning of the answer, which was a 2xx. Raise `NotTakenError`."""
        try:
            async with self._session.post(
                self._url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                if not 200 <= answer.status < 300:  # noqa: PLR2004  of success
                    raise RefusedError(f"it answered with status {answer.status}")
                return await answer.content.read(_ANSWER_BYTES)
        except TimeoutError as error:
            raise LateError("no answer in time") from error
        except aiohttp.ClientConnectorCertificateError as error:
            raise UntrustedError(_of_certificate(error.certificate_error)) from None
        except (aiohttp.ClientError, OSError) as error:
            # Their own words may quote the address, and what is secret in it.
            raise UnreachableError(type(error).__name__) from None

    async def close(self) -> None:
        await self._session.close()


def _of_certificate(error: Exception) -> str:
    return getattr(error, "verify_message", "") or type(error).__name__
