"""The way back: what an upstream says, understood, fitted to the caller and written anew.

Nothing passes that was not parsed. A message that nobody asked for is dropped and counted; one that
cannot be read ends the exchange, because what it hides cannot be known.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from policies.pdp import UndecidedError
from proxy import errors
from proxy.asked import Asked
from proxy.asking import Asking, InputRefusedError
from proxy.audit import UnrecordedError
from proxy.call import Call
from proxy.errors import RESOURCE_NOT_FOUND, Refusal
from proxy.introduction import UnusableResultError
from proxy.listening import SUBSCRIPTION_KEY
from proxy.listing import UnlistableError, without_other_lists
from proxy.news import News
from proxy.results import Results
from proxy.upstream.answers import Answer as UpstreamAnswer
from proxy.upstream.answers import Stream
from proxy.upstream.failures import Kind, UpstreamError, hostile
from proxy.way import Way
from proxy.wire import sse
from proxy.wire.jsonrpc import Id, Message, Notification, Request, Response, decode_upstream
from proxy.wire.methods import Judgment, Party, find
from proxy.wire.refusals import INVALID_PARAMS, METHOD_NOT_FOUND, WireError

MOST_ANSWER: Final = 4 * 1024 * 1024
"""Bytes of one message of an upstream."""

LARGE_ANSWER: Final = 64 * 1024
"""Bytes from which on a message is decoded in a thread."""

RESPONSE: Final = "response"
"""What a dropped message is called that answers nothing."""

TOOL_ERROR: Final = "tool_error"
"""What a call failed with whose tool says itself, in a result, that it failed."""

ASKED: Final = "asked"
"""The status of what an upstream asked of a client, once it is on its way there."""

VISIT_FIRST: Final = -32042
"""The code of an error of 2025-11-25 that lists pages to visit before the call can be made."""

_PAGES: Final = "elicitations"
_OK: Final = 200
_LEAST_ERROR: Final = 400
_REFUSED_US: Final = frozenset({401, 403, 407})
_CONTINUES: Final = frozenset({"inputRequests", "requestState"})


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back to the caller: an HTTP status and one encoded message.

    `error` is what the call failed with, in whatever form the upstream said so: a JSON-RPC code, or
    `TOOL_ERROR`; empty if it went well. `detail` is for the log: what was wrong with an answer that
    could not be passed on. `version` is the one that was agreed on, where a session begins.
    """

    status: int
    body: bytes
    error: str
    detail: str = ""
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Reports:
    """Who is told what becomes of messages that do not reach a client.

    `dropped` is told of each that nobody asked for: the server, and its method or `RESPONSE`;
    `refused` of each request of an upstream that gets an error for an answer: of which call.
    """

    dropped: Callable[[str, str], None]
    refused: Callable[[Call, Response], None]


@dataclass(frozen=True, slots=True)
class Relay:
    """Passes on what upstreams say. *renewed* returns a call on the grounds of this moment."""

    results: Results
    news: News
    asking: Asking
    renewed: Callable[[Call], Call]
    reports: Reports

    async def whole(self, asked: Asked, answer: UpstreamAnswer) -> Reply:
        """Return the reply that the whole *answer* makes."""
        if answer.status in _REFUSED_US:
            return unusable(asked, "it refused the credential of the gateway")
        if answer.status == errors.SESSION_OVER.status and asked.call.session is not None:
            return failed(asked, errors.SESSION_OVER)
        if answer.media_type != "application/json":
            return unusable(asked, "the answer is not JSON")
        try:
            message = await _decoded(answer.body)
        except WireError as error:
            return unusable(asked, f"the answer was refused: {error}")
        response = _matching(message, asked.id)
        if answer.status >= _LEAST_ERROR and isinstance(message, Response) and message.error:
            # It can be about nothing else; some servers give all refusals one id of their own.
            response = replace(message, id=asked.id)
        if response is None or (response.error is None and answer.status != _OK):
            return unusable(asked, "the answer is to something else")
        return await self._reply(asked, response, answer.status)

    async def events(self, way: Way, stream: Stream) -> AsyncGenerator[tuple[bytes, Reply | None]]:
        """Yield the blocks of the event stream that *stream* makes, that of an answer with it.

        A stream that is the request's own ends with the answer, whatever the upstream had to add.
        """
        parser = sse.Parser()
        end: Reply | None = None
        try:
            async for chunk in stream:
                while way.outlet.waiting:
                    yield way.outlet.waiting.popleft(), None
                if way.outlet.is_over:
                    break
                for event in parser.feed(chunk):
                    block, reply = await self._event(way, event)
                    if block is not None:
                        yield block, reply
                    if reply is not None and way.is_own:
                        return
            end = _ended(way)
        except sse.StreamError as error:
            end = _broken(way, f"the stream was refused: {error}")
        except UpstreamError as error:
            end = _cut(way, error)
        finally:
            stream.close()
        if end is not None:
            yield sse.emit(end.body), end

    async def _event(self, way: Way, event: sse.Event) -> tuple[bytes | None, Reply | None]:
        if event.type != "message":
            return _refused(way, "an event is no message")
        if not event.data:
            return self._sign(way, event), None
        try:
            message = await _decoded(event.data)
        except WireError as error:
            return _refused(way, f"an event was refused: {error}")
        if isinstance(message, Response):
            return await self._response(way, event, message)
        call = self.renewed(way.call)
        passed: Message | None
        if isinstance(message, Notification):
            passed = await self.news.passed(way, call, _without_lists(message))
        else:
            passed = await self._request(way, call, message)
        if passed is None:
            self.reports.dropped(call.server_name, message.method)
            return None, None
        return self._block(way, event, passed.encode()), None

    async def _response(
        self, way: Way, event: sse.Event, response: Response
    ) -> tuple[bytes | None, Reply | None]:
        asked = way.asked
        matching = None if asked is None else _matching(response, asked.id)
        if asked is None or matching is None:
            self.reports.dropped(way.call.server_name, RESPONSE)
            return None, None
        reply = await self._reply(asked, matching, _OK)
        return self._block(way, event, reply.body), reply

    async def _request(self, way: Way, call: Call, request: Request) -> Request | None:
        """Return what an upstream asks of the client, once that is allowed and recorded."""
        row = find(Party.SERVER, request.method, way.judged.version)
        # Nothing may be asked before the session is there in which it could be answered.
        is_early = way.asked is not None and way.asked.method == "initialize"
        if row is None or is_early:
            if not way.judged.is_modern:
                self._refuse(call, request, METHOD_NOT_FOUND, "The method is not known here.")
            return None
        try:
            allowed = None
            if row.judgment is not Judgment.NONE:
                allowed = await self.asking.allows(call, row, request)
                if allowed is None:
                    self._refuse(call, request, errors.DENIED, "The policy does not allow this.")
                    return None
        except UnrecordedError:
            self._refuse(call, request, errors.UNRECORDED, errors.CANNOT_RECORD.message)
            return None
        handle = way.asked_id(request.id, request.method)
        if handle is None:
            self._refuse(call, request, INVALID_PARAMS, "The id is too long.")
            return None
        if allowed is not None:
            self.asking.recording.outcome(call, allowed, ASKED)
        params = request.params
        if params is not None and "_meta" in params:
            meta = await self.news.tasks.related(call, params["_meta"])
            params = {**params, "_meta": meta}
        return Request(handle, request.method, params)

    def _refuse(self, call: Call, request: Request, code: int, message: str) -> None:
        error = {"code": code, "message": message}
        self.reports.refused(call, Response(request.id, error=error))

    def _sign(self, way: Way, event: sse.Event) -> bytes | None:
        """Return what says where to go on, and when, without saying anything else."""
        if way.judged.is_modern:
            return None
        id_ = way.event_id(event.id)
        if id_ is None and event.retry is None:
            return None
        return sse.emit(event.data, id=id_, retry=event.retry)

    def _block(self, way: Way, event: sse.Event, data: bytes) -> bytes:
        retry = None if way.judged.is_modern else event.retry
        return sse.emit(data, id=way.event_id(event.id), retry=retry)

    async def _reply(self, asked: Asked, response: Response, status: int) -> Reply:
        # What is shown, and asked of the client, is up to the policy of this moment.
        asked = replace(asked, call=self.renewed(asked.call))
        try:
            if response.error is not None:
                await self._check_demand(asked, response.error)
                return _error(asked, response, status)
            result = await self.results.fitted(asked, _expected(asked, response.result or {}))
        except UnlistableError:
            return unusable(asked, "the list cannot be read")
        except UnusableResultError as error:
            return unusable(asked, str(error))
        except InputRefusedError as error:
            return failed(asked, errors.denied(error.reason, error.decision_id, None))
        except UndecidedError:
            return failed(asked, errors.CANNOT_DECIDE)
        except UnrecordedError:
            return failed(asked, errors.CANNOT_RECORD)
        body = Response(response.id, result).encode()
        failure = TOOL_ERROR if result.get("isError") is True else ""
        version = result["protocolVersion"] if asked.method == "initialize" else None
        return Reply(_OK, body, failure, version=version)

    async def _check_demand(self, asked: Asked, error: Mapping[str, Any]) -> None:
        """Judge an error that sends the client's user to pages, as what asks for that in a result.

        Raises what `Results.fitted` raises.
        """
        data = error.get("data")
        if error.get("code") != VISIT_FIRST or type(data) is not dict or _PAGES not in data:
            return
        if type(data[_PAGES]) is not list:
            raise UnusableResultError("the pages to visit cannot be read")
        wanted = {
            str(number): {"method": "elicitation/create", "params": _page(one)}
            for number, one in enumerate(data[_PAGES])
        }
        # A legacy client said once what it can do, to the upstream.
        declared = asked.capabilities if asked.judged.is_modern else {"elicitation": {}}
        await self.results.rounds.inputs(asked.call, declared, wanted)


async def _decoded(body: bytes) -> Message:
    if len(body) <= LARGE_ANSWER:
        return decode_upstream(body, limit=MOST_ANSWER)
    # Strict decoding of a large answer takes long enough to keep others waiting.
    return await asyncio.to_thread(decode_upstream, body, limit=MOST_ANSWER)


def failed(asked: Asked, refusal: Refusal, detail: str = "") -> Reply:
    """Return the reply that tells the caller of *refusal*."""
    return Reply(refusal.status, refusal.encode(asked.id), str(refusal.code), detail)


def unusable(asked: Asked, detail: str) -> Reply:
    """Return the reply where what the upstream said cannot be passed on."""
    return failed(asked, refusal_of(hostile(Kind.MALFORMED, detail)), detail)


def refusal_of(error: UpstreamError) -> Refusal:
    """Return what the caller is told of an upstream that gave no answer."""
    return Refusal(int(error.status), error.rpc_code, error.public)


def _ended(way: Way) -> Reply | None:
    """Return what a client is told whose stream ended, cleanly, before its answer came."""
    asked = way.asked
    if asked is None or not way.is_own:
        return None
    if way.outlet.is_over:
        return _over(asked)
    if way.is_resumable:
        return None  # the client goes on with a stream of its own
    return unusable(asked, "the stream ended without an answer")


def _over(asked: Asked) -> Reply:
    if asked.listening is None:
        return failed(asked, errors.TOKEN_OVER)
    # What ends well for a listener; a new one needs a new token.
    result = {"resultType": "complete", "_meta": {SUBSCRIPTION_KEY: asked.id}}
    return Reply(_OK, Response(asked.id, result).encode(), "")


def _broken(way: Way, detail: str) -> Reply | None:
    return unusable(way.asked, detail) if way.asked is not None and way.is_own else None


def _cut(way: Way, error: UpstreamError) -> Reply | None:
    if way.asked is None or not way.is_own or way.is_resumable:
        return None
    return failed(way.asked, refusal_of(error), error.detail)


def _refused(way: Way, detail: str) -> tuple[bytes, Reply]:
    """Return what takes the place of something that cannot be read. Raises `StreamError`."""
    reply = _broken(way, detail)
    if reply is None:
        raise sse.StreamError(detail)
    return sse.emit(reply.body), reply


def _matching(message: Message, id_: Id) -> Response | None:
    """Return *message* if it answers the request *id_*; an error may lack the id."""
    if not isinstance(message, Response):
        return None
    if message.id is None:
        return replace(message, id=id_)
    return message if type(message.id) is type(id_) and message.id == id_ else None


def _page(one: Any) -> Any:  # noqa: ANN401  JSON
    return {**one, "mode": "url"} if type(one) is dict else one


def _expected(asked: Asked, result: dict[str, Any]) -> dict[str, Any]:
    """Return *result* without lists that nobody asked for. Raises `UnusableResultError`.

    What a result asks for is judged where it may ask; where it may not, a client could heed it all
    the same.
    """
    is_complete = result.get("resultType", "complete") == "complete"
    if not is_complete and not asked.judged.is_modern:
        raise UnusableResultError("a result of a kind that this version does not know")
    if is_complete and not asked.is_of_task and not _CONTINUES.isdisjoint(result):
        raise UnusableResultError("a result that is complete asks for more")
    row = asked.judged.method
    return without_other_lists(result, None if row is None else row.listed)


def _without_lists(message: Notification) -> Notification:
    params = message.params
    return message if params is None else message.with_params(without_other_lists(params))


def _error(asked: Asked, response: Response, status: int) -> Reply:
    error: dict[str, Any] = response.error or {}
    if type(error.get("data")) is dict:
        error = error | {"data": without_other_lists(error["data"])}
        response = replace(response, error=error)
    row = asked.judged.method
    is_read = row is not None and row.judgment is Judgment.READ_DOCUMENT
    if is_read and error.get("code") in (RESOURCE_NOT_FOUND, INVALID_PARAMS):
        # In one form, so that a document that is not there looks like one that is hidden.
        uri = asked.question.subject
        return failed(asked, errors.unknown_document(uri, modern=asked.judged.is_modern))
    return Reply(status, response.encode(), str(error.get("code")))
