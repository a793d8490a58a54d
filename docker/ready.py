#!/usr/bin/env python3
"""Ask the gateway of this container whether it should get calls; exit code 0 if so."""

import http.client
import os
import sys

SECONDS = 4


def main() -> int:
    """Return 0 if the gateway is ready, else 1, and tell on stdout what it or the system says."""
    listen = os.environ.get("NORTHGATE_ADMIN__LISTEN", "127.0.0.1:8081")
    host, _, port = listen.rpartition(":")
    # Where it listens on every address it is called by the name of that, whatever admin_url says.
    local = {"0.0.0.0": "127.0.0.1", "[::]": "::1"}.get(host, host.strip("[]"))  # noqa: S104  no bind
    connection = http.client.HTTPConnection(local, int(port), timeout=SECONDS)
    try:
        connection.request("GET", "/ready", headers={"Host": listen})
        answer = connection.getresponse()
        said = answer.read().decode()
    except (OSError, http.client.HTTPException) as error:
        sys.stdout.write(f"{error}\n")
        return 1
    finally:
        connection.close()
    sys.stdout.write(f"{said}\n")
    return 0 if answer.status == http.HTTPStatus.OK else 1


if __name__ == "__main__":
    sys.exit(main())
