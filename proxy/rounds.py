"""Results that ask for more: what an upstream wants of the client before it goes on.

Of 2026-07-28, "Multi Round-Trip Requests". The client comes back with the same request, which is
judged anew, and with the state that the upstream gave it, which is opened for that request alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from proxy.asking import Asking, unrelated
from proxy.call import Call
from proxy.identity.handles import Handles, Kind
from proxy.introduction import UnusableResultError
from proxy.wire.methods import INPUT_REQUESTS

LONGEST_STATE: Final = 32 * 1024
"""Characters of a state that an upstream wants back."""

MOST_INPUTS: Final = 64
"""Requests for input in one result."""

_REQUEST: Final = frozenset({"method", "params"})


@dataclass(frozen=True, slots=True)
class Continuing:
    """What a request must say again to go on: its digest, and what the client can do."""

    digest: bytes
    capabilities: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rounds:
    """Judges what results ask for, and seals what they want back."""

    asking: Asking
    handles: Handles

    async def fitted(
        self, call: Call, continuing: Continuing, result: dict[str, Any]
    ) -> dict[str, Any]:
        """Return *result*, which asks for input, as the client may see it. Raises as `inputs`."""
        fitted = dict(result)
        if "inputRequests" in result:
            fitted["inputRequests"] = await self.inputs(
                call, continuing.capabilities, result["inputRequests"]
            )
        state = result.get("requestState")
        if state is not None:
            if type(state) is not str or len(state) > LONGEST_STATE:
                raise UnusableResultError("the state of a request cannot be carried")
            fitted["requestState"] = self.handles.seal(
                Kind.STATE, call.holder, state, continuing.digest
            )
        if "inputRequests" not in fitted and state is None:
            raise UnusableResultError("a result asks for nothing, and is not complete")
        return fitted

    async def inputs(
        self,
        call: Call,
        capabilities: dict[str, Any],
        requests: Any,  # noqa: ANN401  JSON
    ) -> dict[str, Any]:
        """Return *requests* for input once each is allowed, and recorded.

        Raises `InputRefusedError`, `UndecidedError`, `UnusableResultError` and `UnrecordedError`.
        """
        if type(requests) is not dict or len(requests) > MOST_INPUTS:
            raise UnusableResultError("the requests for input cannot be read")
        if not all(map(_is_request, requests.values())):
            raise UnusableResultError("a request for input is none that is known here")
        for decision_id in await self.asking.allows_input(call, requests, capabilities):
            self.asking.recording.outcome(call, decision_id, "asked")
        return {
            key: {**request, "params": unrelated(request["params"])}
            if "params" in request
            else request
            for key, request in requests.items()
        }


def _is_request(request: object) -> bool:
    if type(request) is not dict or not request.keys() <= _REQUEST:
        return False
    method = request.get("method")
    is_known = type(method) is str and method in INPUT_REQUESTS
    return is_known and type(request.get("params", {})) is dict
