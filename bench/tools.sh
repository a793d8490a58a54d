#!/bin/sh
# The gateway is measured beside nginx, under the load of wrk, and its state is tested on
# PostgreSQL: this brings all three where it may.
set -eu
missing=""
command -v nginx >/dev/null || missing="$missing nginx-light"
command -v wrk >/dev/null || missing="$missing wrk"
# Debian keeps the server's programs off the path.
if ! command -v postgres >/dev/null; then
    ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing="$missing postgresql"
fi
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq
    # In this runlevel the packages do not start servers of their own.
    # shellcheck disable=SC2086 # one word for each package
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
    echo "These are not here, and the tests that need them fail: apt-get install$missing" >&2
fi
