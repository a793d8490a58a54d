"""A control plane that answers by a table, for what takes a whole gateway to bring about."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from typer.main import get_command
from typer.testing import CliRunner

from proxy.cli.control import credentials as files
from proxy.cli.control.credentials import Credentials
from proxy.cli.main import app
from proxy.identity.sealing import Secret
from tests.cli.running import Ran

TOKEN = "a-token-of-mine"  # noqa: S105  a test's own

Answers = Mapping[str, tuple[int, Any]]
"""What is answered, by method and path."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it arrived."""

    what: str
    parameters: dict[str, str]
    document: Any
    bearer: str | None


@dataclass
class Desk:
    """A gateway's place, a user's home, and what was asked there.

    `raw`, where there is one, is what comes back whatever is asked.
    """

    home: Path
    url: str
    answers: Answers
    asked: list[Asked] = field(default_factory=list)
    raw: bytes | None = None

    @property
    def credentials(self) -> Path:
        return self.home / "northgate" / "credentials.json"

    def run(self, line: str | list[str], stdin: str = "", **environment: str) -> Ran:
        return ran(self.home, line, stdin, **environment)

    def sent(self, line: str | list[str], **environment: str) -> Any:  # noqa: ANN401  any JSON
        """Run a command that is to succeed, and return what it sent last."""
        done = self.run(line, **environment)
        assert done.code == 0, done.err
        return self.asked[-1].document


@cache
def whole() -> Any:  # noqa: ANN401  of typer's own
    """Return the command with all that is below it, made once for many runs."""
    return get_command(app)


def ran(home: Path, line: str | list[str], stdin: str = "", **environment: str) -> Ran:
    """Run `northgate` in this process, as a user whose home is *home*."""
    words = line.split() if isinstance(line, str) else line
    env = {"XDG_CONFIG_HOME": str(home), **environment}
    with CliRunner().isolation(input=stdin, env=env) as (out, err, _):
        try:
            whole().main(args=words, prog_name="northgate")
            code: int = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        sys.stdout.flush()
        sys.stderr.flush()
        return Ran(code, out.getvalue().decode(), err.getvalue().decode())


@contextmanager
def answering(home: Path, answers: Answers, *, logged_in: bool = True) -> Iterator[Desk]:
    """Serve *answers* to a user whose home is *home*."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            what = f"{self.command} {parts.path}"
            document = json.loads(body) if body else None
            parameters = dict(parse_qsl(parts.query))
            desk.asked.append(Asked(what, parameters, document, self.headers["Authorization"]))
            missing = (404, {"error": "Nothing is here.", "code": "not-found"})
            status, said = desk.answers.get(what, missing)
            found = said(parameters) if callable(said) else said
            content = b"" if found is None else json.dumps(found).encode()
            if desk.raw is not None:
                status, content = 200, desk.raw
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815  names of theirs

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        desk = Desk(home, f"http://127.0.0.1:{server.server_address[1]}", answers)
        if logged_in:
            files.prepare(desk.credentials)
            files.save(desk.credentials, Credentials(desk.url, Secret(TOKEN.encode())))
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield desk
        finally:
            server.shutdown()
            thread.join()
