"""A client of the conformance suite whose part another process plays, so that it starts at once.

Run by its path, as `conformance_relay.py PORT URL`; it needs nothing but the standard library.
"""

from __future__ import annotations

import json
import os
import socket
import sys


def main(port: int, url: str) -> None:
    scene = {
        "scenario": os.environ["MCP_CONFORMANCE_SCENARIO"],
        "revision": os.environ["MCP_CONFORMANCE_PROTOCOL_VERSION"],
        "context": json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}")),
        "url": url,
    }
    with socket.create_connection(("127.0.0.1", port)) as line, line.makefile("rw") as text:
        text.write(json.dumps(scene) + "\n")
        text.flush()
        error = text.read()
    sys.exit(error or 0)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
