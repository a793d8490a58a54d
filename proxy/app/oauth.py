"""The authorization server: what issues tokens at the gateway's own address."""

from __future__ import annotations

from typing import Final

from proxy.admin.issuing import Issuing
from proxy.admin.tokens import Terms
from proxy.app.parts import CLOCKS, Parts
from proxy.limits import Admissions
from proxy.oauth.clients import Clients
from proxy.oauth.server import TOKEN_PATH, AuthorizationServer

_NO_STREAMS: Final = 0


def authorization_server(parts: Parts, issuing: Issuing) -> AuthorizationServer:
    settings, state = parts.settings, parts.state
    url = settings.public_url
    clients = Clients(
        state.credentials,
        state.marks,
        state.standing,
        frozenset({url, f"{url}{TOKEN_PATH}"}),
        CLOCKS.now,
    )
    terms = Terms(
        url,
        settings.admin_url,
        settings.tokens.longest_life_seconds,
        gateway_wide=settings.tokens.gateway_wide,
    )
    admissions = Admissions(
        calls_per_second=settings.tokens.requests_per_second,
        streams=_NO_STREAMS,
        clock=CLOCKS.monotonic,
    )
    return AuthorizationServer(terms, clients, issuing, admissions, parts.telling.observer)
