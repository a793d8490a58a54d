"""What real clients have in common: each is asked the same questions, and answers with JSON."""

from __future__ import annotations

from typing import Any, Final, Protocol

DECLARED: Final = {
    "sampling": {},
    "elicitation": {"form": {}, "url": {}},
    "roots": {"listChanged": True},
}
"""The capabilities of a client that lets itself be asked for everything."""


class RefusedError(Exception):
    """A client was answered with an error. `code` is the client's own where no message came."""

    def __init__(self, code: int | str | None, message: str, data: Any = None) -> None:  # noqa: ANN401
        self.code = code
        self.message = message
        self.data = data
        super().__init__(f"{code}: {message}")


class Agent(Protocol):
    """A client with a connection to one server."""

    @property
    def version(self) -> str:
        """The protocol version that client and server have come to."""

    @property
    def offers(self) -> dict[str, Any]:
        """The capabilities that the server declares."""

    async def ask(self, what: str, **question: object) -> dict[str, Any]:
        """Return the result of `tools`, `call`, `prompts`, `prompt` or another of their kind.

        `templates` are those of resources, `level` sets that of log messages. The result of a
        `call` has its `progress` too, if the question `reports`. `seen` is all that the server has
        asked and told so far, or once it has told a `method`. The first TypeScript client has
        `task`, `tasks`, `status`, `outcome` and `cancel` too, the second has `listen`. Raises
        `RefusedError`.
        """
