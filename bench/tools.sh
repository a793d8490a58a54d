#!/bin/sh
# The gateway is measured beside nginx, under the load of wrk: this brings both where it may.
set -eu
if command -v nginx >/dev/null && command -v wrk >/dev/null; then
    exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq
    # In this runlevel the package does not start a server of its own.
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends nginx-light wrk >/dev/null
else
    echo "nginx and wrk are not here, so what needs them is left out: apt-get install nginx-light wrk" >&2
fi
