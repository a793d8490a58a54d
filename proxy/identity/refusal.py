"""Why a caller was not identified: a private reason, and one public answer for all of them."""

from __future__ import annotations

from enum import StrEnum
from http import HTTPStatus


class Reason(StrEnum):
    """Every way to fail. For records and counters; a caller learns none of them."""

    CREDENTIAL_ABSENT = "credential_absent"
    CREDENTIAL_REPEATED = "credential_repeated"
    CREDENTIAL_IN_QUERY = "credential_in_query"
    CREDENTIAL_IN_COOKIE = "credential_in_cookie"
    CREDENTIAL_MALFORMED = "credential_malformed"
    SCHEME_OTHER = "scheme_other"

    TOO_LONG = "too_long"
    NOT_COMPACT = "not_compact"
    HEADER_MALFORMED = "header_malformed"
    HEADER_BRINGS_KEY = "header_brings_key"
    HEADER_CRITICAL = "header_critical"
    HEADER_UNKNOWN_FIELD = "header_unknown_field"
    TYPE_OTHER = "type_other"
    KEY_UNKNOWN = "key_unknown"
    KEY_ENDED = "key_ended"
    ALGORITHM_OTHER = "algorithm_other"
    SIGNATURE_WRONG = "signature_wrong"
    PAYLOAD_MALFORMED = "payload_malformed"

    ID_TOKEN = "id_token"  # noqa: S105  a reason
    IDENTITY_ASSERTION = "identity_assertion"
    CLIENT_ASSERTION = "client_assertion"
    PROOF_ABSENT = "proof_absent"

    ISSUER_ABSENT = "issuer_absent"
    ISSUER_OTHER = "issuer_other"
    AUDIENCE_ABSENT = "audience_absent"
    AUDIENCE_MALFORMED = "audience_malformed"
    AUDIENCE_OTHER = "audience_other"
    SUBJECT_ABSENT = "subject_absent"
    SUBJECT_MALFORMED = "subject_malformed"
    CLIENT_ABSENT = "client_absent"
    CLIENT_MALFORMED = "client_malformed"
    CLIENT_OTHER = "client_other"
    DELEGATION_MALFORMED = "delegation_malformed"
    TOKEN_ID_ABSENT = "token_id_absent"  # noqa: S105  a reason
    TOKEN_ID_MALFORMED = "token_id_malformed"  # noqa: S105  a reason
    EXPIRY_ABSENT = "expiry_absent"
    EXPIRY_MALFORMED = "expiry_malformed"
    EXPIRED = "expired"
    ISSUED_ABSENT = "issued_absent"
    ISSUED_MALFORMED = "issued_malformed"
    ISSUED_LATER = "issued_later"
    LIFE_NOT_POSITIVE = "life_not_positive"
    LIFE_TOO_LONG = "life_too_long"
    NOT_BEFORE_MALFORMED = "not_before_malformed"
    NOT_YET_VALID = "not_yet_valid"
    SCOPE_MALFORMED = "scope_malformed"

    TOKEN_REVOKED = "token_revoked"  # noqa: S105  a reason
    IDENTITY_REVOKED = "identity_revoked"
    ISSUED_TOO_EARLY = "issued_too_early"

    TOKEN_REQUEST_MALFORMED = "token_request_malformed"  # noqa: S105  a reason
    TOKEN_REQUEST_TOO_FAST = "token_request_too_fast"  # noqa: S105  a reason
    TOKEN_GRANT_OTHER = "token_grant_other"  # noqa: S105  a reason
    TOKEN_CLIENT_REFUSED = "token_client_refused"  # noqa: S105  a reason
    TOKEN_TARGET_REFUSED = "token_target_refused"  # noqa: S105  a reason
    TOKEN_SCOPE_REFUSED = "token_scope_refused"  # noqa: S105  a reason


_AMBIGUOUS = frozenset(
    {Reason.CREDENTIAL_REPEATED, Reason.CREDENTIAL_IN_QUERY, Reason.CREDENTIAL_IN_COOKIE}
)


class RefusedError(Exception):
    """The caller was not identified.

    `reason` is private. `status`, `code` and `public` are what a caller may see, and differ only
    between a request that carries its credential wrongly (400) and one without a good token (401).
    """

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason

    @property
    def status(self) -> HTTPStatus:
        if self.reason in _AMBIGUOUS:
            return HTTPStatus.BAD_REQUEST
        return HTTPStatus.UNAUTHORIZED

    @property
    def code(self) -> str:
        """The `error` of RFC 6750 section 3.1; empty when no credential was sent."""
        if self.reason in _AMBIGUOUS:
            return "invalid_request"
        return "" if self.reason is Reason.CREDENTIAL_ABSENT else "invalid_token"

    @property
    def public(self) -> str:
        if self.reason in _AMBIGUOUS:
            return (
                "Send one access token, in one Authorization header with the scheme Bearer, "
                "and none in the address or in a cookie."
            )
        return (
            "This needs a valid access token in the Authorization header. "
            "Get a new one, or ask your administrator for it."
        )


class KeyUnknownError(RefusedError):
    """The token names a key that is not known here: not yet, or not any more, or it never was."""

    def __init__(self) -> None:
        super().__init__(Reason.KEY_UNKNOWN)
