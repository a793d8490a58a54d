"""nginx in two parts: an upstream with fixed answers, and the bare proxy that is the measure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bench.gateway.traffic import ANSWERS, path

# One process without a master, so that its processor time is all there is. Connections are kept
# for as long as a measurement lasts.
_FRAME: Final = """\
daemon off;
master_process off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  default_type application/json;
  keepalive_requests 1000000000;
  keepalive_timeout 3600s;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
{http}
}}
"""

_UPSTREAM: Final = """\
  map $http_mcp_method $answer {{
    default '';
{answers}
  }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ return 200 $answer; }}
  }}
"""

_POOL: Final = """\
  upstream {name} {{
    server 127.0.0.1:{port};
    keepalive 64;
    keepalive_requests 1000000000;
    keepalive_timeout 3600s;
  }}
"""

_LOCATION: Final = """\
    location = {path} {{
      proxy_pass http://{name};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }}
"""


def upstream(directory: Path, port: int) -> list[str]:
    """Return the command of an upstream on *port* that answers at once."""
    answers = "\n".join(f"    '{name}' '{body.decode()}';" for name, body in ANSWERS.items())
    return _command(directory, _UPSTREAM.format(answers=answers, port=port))


def proxy(directory: Path, port: int, upstreams: Mapping[str, int]) -> list[str]:
    """Return the command of a proxy on *port*, in front of the ports of *upstreams*."""
    pools = "".join(_POOL.format(name=name, port=at) for name, at in upstreams.items())
    locations = "".join(_LOCATION.format(path=path(name), name=name) for name in upstreams)
    server = f"  server {{\n    listen 127.0.0.1:{port};\n{locations}  }}\n"
    return _command(directory, pools + server)


def _command(directory: Path, http: str) -> list[str]:
    directory.mkdir()
    file = directory / "nginx.conf"
    file.write_text(_FRAME.format(directory=directory, http=http))
    return ["nginx", "-p", str(directory), "-c", str(file)]
