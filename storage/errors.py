"""What can go wrong with the state that is kept in the database.

`code` is stable, `public` may be shown to anyone and says what to do next, `detail` is for
operators only.
"""

from __future__ import annotations


class StateError(Exception):
    """A failure of the state."""

    code = "state-error"
    public = "The stored state failed. Look at the operator's log for the cause."

    def __init__(self, detail: str = "") -> None:
        self.detail = detail
        super().__init__(f"{self.code}: {detail}" if detail else self.code)


class DatabaseUrlError(StateError):
    """The URL names no database that can be used."""

    code = "database-url"
    public = (
        "This database cannot be used. Write sqlite:/// and the file's path, or postgresql:// with "
        "USER:PASSWORD@HOST/DATABASE and a database in UTF8."
    )


class DatabaseUnavailableError(StateError):
    """The database did not answer, or not in time; nothing was changed unless it was committing."""

    code = "database-unavailable"
    public = "The state could not be read or written. Try again shortly."


class SchemaError(StateError):
    """The database was written by a newer release."""

    code = "schema-newer"
    public = "The database belongs to a newer release. Install that release, or restore a backup."


class TextRefusedError(StateError, ValueError):
    """A text that not every database can keep."""

    code = "text-refused"
    public = "A text holds NUL or half a character, or is too long. Correct it and send it again."


class FactRefusedError(StateError, ValueError):
    """A fact that no ledger can hold, or a change that contradicts itself."""

    code = "fact-refused"
    public = "This change of facts makes no sense. Correct it and send it again."


class FactVersionError(StateError):
    """There was no such version of the facts."""

    code = "fact-version-unknown"
    public = "The facts never had this version. Ask for one between 0 and the newest."


class FactsChangedError(StateError):
    """The facts are not those that a change was decided on."""

    code = "facts-changed"
    public = "Somebody else changed the facts meanwhile. Look at them, and do it again if need be."


class TokenKnownError(StateError):
    """A token with this id was recorded before."""

    code = "token-known"
    public = "A token with this id exists. Issue a new one."


class DefinitionUnknownError(StateError):
    """The server was never seen to offer this."""

    code = "definition-unknown"
    public = "The server never offered this. Look at what it offers and approve from there."


class DefinitionChangedError(StateError):
    """The server offers something else by now, or nothing of this name."""

    code = "definition-changed"
    public = "The server no longer offers what was reviewed. Review what it offers now."
