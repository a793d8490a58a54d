"""Every mistake in the settings is told, at its place, in the words of the settings (R08)."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config import Problem, SettingsError, load
from tests.config.giving import problems_of, written

HTTPS_ONLY = "Use https; plain http is for loopback hosts only."
NO_PATH = "Leave out the path, the query and the slash at the end."
NO_LOGIN = "Leave user and password out of the URL."
NO_FRAGMENT = "Leave the fragment, from # on, out of the URL."
LOWER_CASE = "Write the host in lower case, as clients send it."
USUAL_PORT = "Leave out the port, which is the usual one."
ABSOLUTE = "Write an absolute URL that begins with https:// or http://."
PLAIN_URL = "Write a URL in ASCII, without spaces, braces, quotes and backslashes."
NO_HOST = "Write a host, and if need be a port, after the scheme."
NOT_LOOPBACK = "Development mode listens on loopback only. Use 127.0.0.1 or enterprise."
HOST_PORT = "Write HOST:PORT, for example 127.0.0.1:8080 or [::1]:8080."
IP_FIRST = "Write an IP address or localhost before the port."
DATABASE = "Write sqlite:///PATH or postgresql://USER:PASSWORD@HOST/DATABASE."
TEXT = "Write a text that is not empty."
TO_STDIO = "It belongs to `stdio`. Set transport, or remove it."
TO_WEB = "It belongs to `http` and `sse`. Set transport, or remove it."
TO_OSO = "It belongs to the kind `oso_cloud`. Set pdp.kind, or remove it."
A_TABLE = "This is a table of settings, not a value."
NAME_SIGNS = "A server's name is 1 to 128 letters, digits, hyphens, underscores."
NAME_ENDS = "A server's name has no `__` in it and no `_` at its end."
TOKEN = "A token is visible ASCII in one line, without the word Bearer."  # noqa: S105  a sentence
SECRET = "Write a text, ${VARIABLE} or file:PATH."  # noqa: S105  a sentence
NOT_TOML = "This is not TOML. Look for a missing quote, bracket or `=`."
MILLISECONDS = "This has to be an integer from 1 to 60000."
OF_MODE = "This has to be `enterprise` or `development`."
NO_PROXY = "Development mode believes no proxy. Remove it, or use enterprise."
NETWORKS = "Write an address range such as 10.0.0.0/8 or fd00::/8."
UNKNOWN = "There is no such setting."
A = "[upstreams.a]\n"
U = f'{A}url = "https://a.example/mcp"\n'

MISTAKES = [
    ("mood = 1", "mood", f"{UNKNOWN} Did you mean `mode`?", 1),
    ("[limits]\nzebra = 1", "limits.zebra", UNKNOWN, 2),
    ("limits.body_byte = 1", "limits.body_byte", f"{UNKNOWN} Did you mean `body_bytes`?", 1),
    ("warnings = []", "warnings", UNKNOWN, 1),
    ('"a\\nb" = 1', '"a\\nb"', UNKNOWN, 1),
    ("limits = 1", "limits", A_TABLE, 1),
    ("[[limits]]", "limits", A_TABLE, 1),
    ("upstreams = []", "upstreams", A_TABLE, 1),
    (f"{U}auth = 1", "upstreams.a.auth", A_TABLE, 3),
    ('mode = "Enterprise"', "mode", f"{OF_MODE} Did you mean `enterprise`?", 1),
    ("mode = true", "mode", OF_MODE, 1),
    ("data_dir = 1", "data_dir", TEXT, 1),
    ('data_dir = ""', "data_dir", TEXT, 1),
    ("[policy]\nportable = 1", "policy.portable", "This has to be true or false.", 2),
    ('[pdp]\ndeadline_ms = "250"', "pdp.deadline_ms", MILLISECONDS, 2),
    ("[pdp]\ndeadline_ms = 250.0", "pdp.deadline_ms", MILLISECONDS, 2),
    ("[pdp]\ndeadline_ms = true", "pdp.deadline_ms", MILLISECONDS, 2),
    ("[pdp]\ndeadline_ms = 0", "pdp.deadline_ms", MILLISECONDS, 2),
    ("[pdp]\ndeadline_ms = 1979-05-27", "pdp.deadline_ms", MILLISECONDS, 2),
    (
        "tokens.longest_life_seconds = 40_000_000",
        "tokens.longest_life_seconds",
        "This has to be an integer from 60 to 31622400.",
        1,
    ),
    ('[data]\nlisten = "8080"', "data.listen", HOST_PORT, 2),
    ('[data]\nlisten = ":8080"', "data.listen", HOST_PORT, 2),
    ('[data]\nlisten = "127.0.0.1:65536"', "data.listen", HOST_PORT, 2),
    ('[data]\nlisten = "::1:80"', "data.listen", HOST_PORT, 2),
    ('[data]\nlisten = "gateway:80"', "data.listen", IP_FIRST, 2),
    ('data.allowed_hosts = "a"', "data.allowed_hosts", "This has to be a list of hosts.", 1),
    (
        'data.allowed_hosts = ["A.example"]',
        "data.allowed_hosts",
        "Write the host in lower case.",
        1,
    ),
    ('data.trusted_proxies = ["10.0.0.1/8"]', "data.trusted_proxies", NETWORKS, 1),
    ('public_url = "gateway.example"', "public_url", ABSOLUTE, 1),
    ('public_url = "ftp://gateway.example"', "public_url", ABSOLUTE, 1),
    ('public_url = "http://gateway.example"', "public_url", HTTPS_ONLY, 1),
    ('public_url = "http://localhost.example"', "public_url", HTTPS_ONLY, 1),
    ('public_url = "https://gateway.example/"', "public_url", NO_PATH, 1),
    ('public_url = "https://gateway.example/mcp"', "public_url", NO_PATH, 1),
    ('public_url = "https://gateway.example?"', "public_url", NO_PATH, 1),
    ('public_url = "https://gateway.example#"', "public_url", NO_FRAGMENT, 1),
    ('public_url = "https://a:b@gateway.example"', "public_url", NO_LOGIN, 1),
    ('public_url = "https://"', "public_url", NO_HOST, 1),
    ('public_url = "https://a..b"', "public_url", NO_HOST, 1),
    ('public_url = "https://a:"', "public_url", NO_HOST, 1),
    ('public_url = "https://[::1::1]"', "public_url", "Write an absolute URL, http or https.", 1),
    ('public_url = "https://a b"', "public_url", PLAIN_URL, 1),
    ('public_url = "https://gateway.example:443"', "public_url", USUAL_PORT, 1),
    (
        'public_url = "https://gateway.example:99999"',
        "public_url",
        "Write a port from 1 to 65535.",
        1,
    ),
    ('public_url = "https://Gateway.example"', "public_url", LOWER_CASE, 1),
    ('admin_url = "http://gateway.example"', "admin_url", HTTPS_ONLY, 1),
    ('database.url = "mysql://h/d"', "database.url", DATABASE, 1),
    ('database.url = "sqlite://"', "database.url", "Write sqlite:/// and the file's path.", 1),
    (
        'database.url = "postgresql:///"',
        "database.url",
        "Write the host and the database after postgresql://.",
        1,
    ),
    ("database.url = 5", "database.url", SECRET, 1),
    ('[pdp]\nurl = "https://oso.example"', "pdp.url", TO_OSO, 2),
    ('[pdp]\napi_key = "k"', "pdp.api_key", TO_OSO, 2),
    (
        '[pdp]\nkind = "oso_cloud"\nurl = "https://oso.example"',
        "pdp.api_key",
        "The kind `oso_cloud` needs pdp.api_key.",
        2,
    ),
    (
        '[pdp]\nkind = "oso_cloud"\napi_key = "k"',
        "pdp.url",
        "The kind `oso_cloud` needs pdp.url.",
        2,
    ),
    (
        '[pdp]\nkind = "oso_cloud"\napi_key = "k"\nurl = "http://oso.example"',
        "pdp.url",
        HTTPS_ONLY,
        4,
    ),
    ('mode = "development"\ndata.listen = "0.0.0.0:8080"', "data.listen", NOT_LOOPBACK, 2),
    ('mode = "development"\nadmin.listen = "[::]:8081"', "admin.listen", NOT_LOOPBACK, 2),
    (
        'mode = "development"\ndata.trusted_proxies = ["10.0.0.0/8"]',
        "data.trusted_proxies",
        NO_PROXY,
        2,
    ),
    (
        "[limits]\nkeep_alive_seconds = 300",
        "limits.keep_alive_seconds",
        "limits.keep_alive_seconds has to be less than limits.stream_idle_seconds.",
        2,
    ),
    (
        "[limits]\ncall_seconds = 5",
        "limits.call_seconds",
        "limits.connect_seconds has to be less than limits.call_seconds.",
        2,
    ),
    ('[upstreams.""]', 'upstreams.""', NAME_SIGNS, 1),
    ('[upstreams."a.b"]', 'upstreams."a.b"', NAME_SIGNS, 1),
    (f"[upstreams.{'a' * 129}]", f"upstreams.{'a' * 129}", NAME_SIGNS, 1),
    ("[upstreams.a__b]", "upstreams.a__b", NAME_ENDS, 1),
    ("[upstreams.a_]", "upstreams.a_", NAME_ENDS, 1),
    (A, "upstreams.a.url", "The transport `http` needs url.", 1),
    (f'{A}transport = "sse"', "upstreams.a.url", "The transport `sse` needs url.", 2),
    (f'{A}transport = "stdio"', "upstreams.a.command", "The transport `stdio` needs command.", 2),
    (
        f'{A}transport = "http+sse"\nurl = "https://a"',
        "upstreams.a.transport",
        "This has to be `http`, `sse` or `stdio`.",
        2,
    ),
    (f'{U}command = "npx"', "upstreams.a.command", TO_STDIO, 3),
    (f'{U}args = ["-y"]', "upstreams.a.args", TO_STDIO, 3),
    (f"{U}[upstreams.a.env]\nX = 'y'", "upstreams.a.env", TO_STDIO, 4),
    (f'{U}transport = "stdio"\ncommand = "x"', "upstreams.a.url", TO_WEB, 2),
    (
        f'{A}transport = "stdio"\ncommand = "x"\nauth.bearer = "t"',
        "upstreams.a.auth.bearer",
        TO_WEB,
        4,
    ),
    (
        f'{A}transport = "stdio"\ncommand = "x"\nargs = ["a", 1]',
        "upstreams.a.args",
        "Write each argument as a text without NUL.",
        4,
    ),
    (
        f'{A}transport = "stdio"\ncommand = "x"\nenv = {{"A=B" = "c"}}',
        'upstreams.a.env."A=B"',
        "A variable's name has no `=` and no control characters, and is not empty.",
        4,
    ),
    (f'{A}transport = "stdio"\ncommand = "x"\nenv = {{A = 1}}', "upstreams.a.env.A", SECRET, 4),
    (f'{A}url = "https://u@a"', "upstreams.a.url", NO_LOGIN, 2),
    (f'{A}url = "file:///etc/passwd"', "upstreams.a.url", ABSOLUTE, 2),
    (f'{A}url = "https:a.example"', "upstreams.a.url", ABSOLUTE, 2),
    (
        f'{U}auth.bearer = "${{ABSENT}}"',
        "upstreams.a.auth.bearer",
        "The variable ABSENT is not set.",
        3,
    ),
    (
        f'{U}auth.bearer = "file:/absent/token"',
        "upstreams.a.auth.bearer",
        "The file /absent/token cannot be read: No such file or directory.",
        3,
    ),
    (f'{U}auth.bearer = "Bearer token"', "upstreams.a.auth.bearer", TOKEN, 3),
    (f'{U}auth.bearer = """a\nb"""', "upstreams.a.auth.bearer", TOKEN, 3),
    (f'{U}auth.bearer = ""', "upstreams.a.auth.bearer", "Write a secret that is not empty.", 3),
    (
        f"{U}[upstreams.A]\nurl = 'https://b'",
        "upstreams.A",
        "Too like `a`: names differ in more than case, `-` and `_`.",
        3,
    ),
    ('\n\nmode = "enterprise', "", NOT_TOML, 3),
    ("mode = 1\nmode = 2", "", NOT_TOML, 2),
]


@pytest.mark.parametrize(("text", "key", "message", "line"), MISTAKES)
def test_a_single_mistake_is_the_only_problem_and_has_its_line(
    tmp_path: Path, text: str, key: str, message: str, line: int
) -> None:
    assert problems_of(tmp_path, text) == [Problem(key, message, f":{line}")]


VARIABLES = [
    ("NORTHGATE_MOOD", "x", "", f"{UNKNOWN} Did you mean `NORTHGATE_MODE`?"),
    ("NORTHGATE_mode", "x", "", f"{UNKNOWN} Did you mean `NORTHGATE_MODE`?"),
    ("NORTHGATE_", "x", "", f"{UNKNOWN} Did you mean `NORTHGATE_MODE`?"),
    ("NORTHGATE_POLICY", "x", "", f"{UNKNOWN} Did you mean `NORTHGATE_POLICY__PATH`?"),
    ("NORTHGATE_MODE__X", "x", "", f"{UNKNOWN} Did you mean `NORTHGATE_MODE`?"),
    ("NORTHGATE_PDP__DEADLINE_MS", "fast", "pdp.deadline_ms", MILLISECONDS),
    ("NORTHGATE_PDP__DEADLINE_MS", "9" * 5000, "pdp.deadline_ms", MILLISECONDS),
    ("NORTHGATE_POLICY__PORTABLE", "yes", "policy.portable", "This has to be true or false."),
    ("NORTHGATE_DATA__ALLOWED_HOSTS", "a", "data.allowed_hosts", "This has to be a list of hosts."),
    (
        "NORTHGATE_DATA__ALLOWED_HOSTS",
        "[" * 99999,
        "data.allowed_hosts",
        "This has to be a list of hosts.",
    ),
    (
        "NORTHGATE_DATA__ALLOWED_HOSTS",
        '{"a": 1}',
        "data.allowed_hosts",
        "This has to be a list of hosts.",
    ),
    ("SERVER_MODE", "prod", "mode", OF_MODE),
    ("PORT", "many", "data.listen", HOST_PORT),
    ("OTEL_ENABLED", "yes", "telemetry.metrics", "This has to be true or false."),
    (
        "SESSION_IDLE_TIMEOUT_SEC",
        "-2",
        "limits.session_idle_seconds",
        "This has to be an integer from 1 to 2592000.",
    ),
    ("DATABASE_URL", "mysql://h/d", "database.url", DATABASE),
]


@pytest.mark.parametrize(("variable", "value", "key", "message"), VARIABLES)
def test_a_mistake_in_a_variable_is_the_only_problem_and_names_the_variable(
    tmp_path: Path, variable: str, value: str, key: str, message: str
) -> None:
    assert problems_of(tmp_path, environ={variable: value}) == [Problem(key, message, variable)]


def test_three_mistakes_of_three_kinds_are_three_problems(tmp_path: Path) -> None:
    text = 'mood = 1\n[pdp]\ndeadline_ms = "fast"\n[upstreams.a]\ntransport = "stdio"'

    found = problems_of(tmp_path, text)

    assert [(one.key, one.where) for one in found] == [
        ("mood", ":1"),
        ("pdp.deadline_ms", ":3"),
        ("upstreams.a.command", ":5"),
    ]


def test_a_wrong_value_is_told_even_where_a_variable_overrules_it(tmp_path: Path) -> None:
    found = problems_of(tmp_path, "mode = 1", {"NORTHGATE_MODE": "enterprise"})

    assert [one.where for one in found] == [":1"]


def test_two_variables_for_one_setting_are_refused(tmp_path: Path) -> None:
    twins = {"NORTHGATE_UPSTREAMS__A__URL": "https://a", "NORTHGATE_UPSTREAMS__a__URL": "https://b"}

    assert problems_of(tmp_path, environ=twins) == [
        Problem(
            "upstreams.a.url",
            "NORTHGATE_UPSTREAMS__A__URL is the same setting. Remove one.",
            "NORTHGATE_UPSTREAMS__a__URL",
        )
    ]


def test_a_file_that_is_not_there_is_a_problem_beside_those_of_the_variables(
    tmp_path: Path,
) -> None:
    path = tmp_path / "absent.toml"

    with pytest.raises(SettingsError) as caught:
        load(path, {"NORTHGATE_MODE": "x"})

    reason = "The file cannot be read: No such file or directory."
    assert caught.value.problems[0] == Problem("", reason, str(path))
    assert [one.where for one in caught.value.problems[1:]] == ["NORTHGATE_MODE"]


@pytest.mark.parametrize("content", [b"\xff", b"#" * (1024**2 + 1)], ids=["not UTF-8", "large"])
def test_a_file_that_is_no_small_text_is_refused(tmp_path: Path, content: bytes) -> None:
    path = written(tmp_path, "")
    path.write_bytes(content)

    with pytest.raises(SettingsError, match="TOML in UTF-8, at most 1 MiB"):
        load(path, {})


def test_deep_nesting_is_refused_as_no_toml(tmp_path: Path) -> None:
    assert [one.message for one in problems_of(tmp_path, "a = " + "[" * 90_000)] == [NOT_TOML]
