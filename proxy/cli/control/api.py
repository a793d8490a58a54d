"""A client of the control plane: one call, one answer, and what every failure means to a person."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from proxy.cli.control.credentials import Credentials
from proxy.cli.control.endings import Code, CommandError
from proxy.identity.sealing import Secret

DEADLINE_SECONDS: Final = 10.0

PATIENCE_SECONDS: Final = 180.0
"""For what waits on a server behind the gateway, which has deadlines of its own."""

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_DOTS: Final = frozenset({".", ".."})
_LARGEST_PAGE: Final = "500"
_MOST_BYTES: Final = 4 * 1024**2
_MOST_BYTES_OF_SERVERS: Final = 64 * 1024**2
_GOOD: Final = frozenset({200, 201})
_NOTHING: Final = 204
_NO: Final = frozenset({401, 403, 404, 409})
_DATA_PORT: Final = "The control listener is meant, usually http://localhost:8081."
_LISTED: Final = "northgate list tools, and northgate definition list, show what there is."
_KEYS: Final = "northgate key list shows what there is."
_SERVERS: Final = "northgate list servers shows what there is."
_TOOLS: Final = "northgate list tools shows what there is."
_CREDENTIALS: Final = "northgate client secret list and client key list show what there is."
HINTS: Final[Mapping[str, str]] = {
    "unauthorized": "The token may have ended, or been revoked. On the gateway's machine, run "
    "northgate admin recover, then northgate init-server with the secret it prints.",
    "already-initialised": "Whoever lost the administrator's token runs northgate admin recover on "
    "that machine.",
    "unknown-token": "northgate token list shows what there is.",
    "unknown-server": _SERVERS,
    "unknown-tool": _TOOLS,
    "unknown-prompt": "northgate list prompts shows what there is.",
    "unknown-resource": "northgate list resources shows what there is.",
    "unknown-fact": "northgate fact list shows what there is.",
    "unknown-credential": _CREDENTIALS,
    "too-many-credentials": _CREDENTIALS,
    "unknown-key": _KEYS,
    "keys-changed": _KEYS,
    "unknown-definition": _LISTED,
    "definition-changed": _LISTED,
    "unknown-client": "northgate client list shows what there is.",
    "unknown-user": "northgate user list shows what there is.",
    "unknown-team": "northgate team list shows what there is.",
    "server-configured": "Change it in the settings file, and start the gateway anew.",
    "server-changed": "northgate server show NAME tells how it is now.",
    "access-token-taken": "Choose another, or let the gateway make one: northgate token issue.",
    "unknown-grant": "northgate access list shows what there is.",
    "last-admin": "northgate user update NAME --roles admin makes another admin.",
}


class Api:
    """The control plane at *url*; *token* is None before there is one.

    Raises `CommandError` for an address that the token must not be sent to.
    """

    def __init__(self, url: str, token: Secret | None = None) -> None:
        self.url = checked_url(url)
        self._token = token

    @classmethod
    def of(cls, credentials: Credentials) -> Api:
        return cls(credentials.url, credentials.token)

    def call(
        self,
        method: str,
        path: str,
        *,
        document: Mapping[str, Any] | None = None,
        parameters: Mapping[str, str] | None = None,
        patient: bool = False,
    ) -> dict[str, Any]:
        """Return the answer to one request. Raises `CommandError` for all but a good one.

        *patient* is for what a server behind the gateway has to answer: it may take longer, and say
        more.
        """
        seconds = PATIENCE_SECONDS if patient else DEADLINE_SECONDS
        most = _MOST_BYTES_OF_SERVERS if patient else _MOST_BYTES
        request = (method, self.url + path, document, parameters)
        try:
            status, body = asyncio.run(asyncio.wait_for(self._send(*request, most), seconds))
        except aiohttp.ClientConnectorError:
            message = f"Nothing answers at {self.url}."
            hint = f"Is northgate serve running there? {_DATA_PORT}"
            raise CommandError("not-reachable", message, hint) from None
        except (aiohttp.ClientError, TimeoutError) as error:
            message = f"No answer came from {self.url}: {type(error).__name__}."
            raise CommandError("no-answer", message, "Try again shortly.") from None
        if status == _NOTHING:
            return {}
        answer = _object(body)
        if status in _GOOD and answer is not None:
            return answer
        raise self._refused(status, answer or {})

    async def _send(
        self,
        method: str,
        url: str,
        document: Mapping[str, Any] | None,
        parameters: Mapping[str, str] | None,
        most: int,
    ) -> tuple[int, bytes]:
        headers = {"Accept": "application/json"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token.reveal().decode()}"
        # Whoever calls has the deadline.
        timeout = aiohttp.ClientTimeout(total=None)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(
                method,
                url,
                json=document,
                params=parameters,
                headers=headers,
                allow_redirects=False,
            ) as response,
        ):
            return response.status, await _whole(response, most)

    def pages(
        self, path: str, name: str, parameters: Mapping[str, str]
    ) -> Iterator[dict[str, Any]]:
        """Yield what all pages have in their list *name*."""
        wanted = {**parameters, "limit": _LARGEST_PAGE}
        while True:
            page = self.call("GET", path, parameters=wanted)
            yield from page[name]
            if page["next"] is None:
                return
            wanted["after"] = page["next"]

    def _refused(self, status: int, answer: Mapping[str, Any]) -> CommandError:
        sentence = answer.get("error")
        if not isinstance(sentence, str):
            message = f"What answers at {self.url} is no control plane (status {status})."
            return CommandError("not-northgate", message, f"Look at the URL. {_DATA_PORT}")
        code = str(answer.get("code", "refused"))
        exit_code = Code.NO if status in _NO else Code.UNUSABLE
        if code == "not-allowed":
            details = {name: str(answer.get(name, "")) for name in ("action", "decision_id")}
            message = f"The policy does not allow you the action {details['action']}."
            hint = f"The record tells more about the decision {details['decision_id']}."
            return CommandError(code, message, hint, exit_code=exit_code, **details)
        if isinstance(answer.get("place"), str):
            sentence = f"{sentence} It is at {answer['place']}."
        if isinstance(answer.get("message"), str):
            sentence = f"{sentence} It says: {answer['message']}"
        problems = answer.get("problems")
        if isinstance(problems, list):
            sentence = " ".join([sentence, *map(_problem, problems)])
        hint = HINTS.get(code) or str(answer.get("hint", ""))
        return CommandError(code, sentence, hint, exit_code=exit_code)


def given(terms: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of *terms* that were given."""
    return {name: value for name, value in terms.items() if value is not None}


def segment(text: str) -> str:
    """Return *text* if it may stand in a path. Raises `CommandError`."""
    if _NAME.fullmatch(text) is None or text in _DOTS:
        message = f"This can be neither a name nor an id: {text}"
        hint = "Use 1 to 128 letters, digits, dots, hyphens and underscores."
        raise CommandError("bad-name", message, hint)
    return text


def checked_url(text: str) -> str:
    """Return the URL of a control listener without a slash at its end.

    Raises `CommandError` for one that is no plain address, or where a token would travel in the
    clear.
    """
    url = text.rstrip("/")
    try:
        parts = urlsplit(url)
        is_plain = f"{parts.scheme}://{parts.netloc}{parts.path}" == url and parts.port != 0
    except ValueError:
        is_plain = False
    if not is_plain or not parts.hostname or "@" in parts.netloc or not url.isascii():
        message = f"This is no URL of a gateway: {text}"
        raise CommandError("bad-url", message, "Write http://localhost:8081, or https://...")
    if parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname)):
        return url
    message = f"The token would travel in the clear to {url}."
    raise CommandError("unsafe-url", message, "Use https; http is for this machine alone.")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


async def _whole(response: aiohttp.ClientResponse, most: int) -> bytes:
    body = bytearray()
    async for block in response.content.iter_any():
        body += block
        if len(body) > most:
            raise aiohttp.ClientPayloadError("too long")
    return bytes(body)


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(body)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _problem(problem: object) -> str:
    if not isinstance(problem, dict):
        return ""
    if "message" in problem:
        place = f"{problem.get('file')}:{problem.get('line')}: " if problem.get("file") else ""
        return f"{place}{problem.get('code')}: {problem['message']}"
    return f"{problem.get('field', '')}: {problem.get('problem', '')}"
