#!/bin/sh
# Makes the secrets of compose.yaml, each at random, and never writes over one.
#
#   sh init.sh                    all of them, before the first start
#   sh init.sh next-master-key    the next master key, for `northgate admin rekey`
#   sh init.sh adopt-master-key   the next becomes the one in use; the one before is kept
set -eu
umask 077
cd "$(dirname "$0")"
place=secrets

fail() {
    echo "$1" >&2
    exit 1
}

# 32 random bytes, as 43 base64url signs.
random() {
    head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n'
}

# All of FILE or nothing of it, and never over another.
keep() {
    [ ! -e "$place/$1" ] || fail "$place/$1 is there already, and stays as it is."
    printf '%s\n' "$2" > "$place/$1.new"
    chmod "${3:-600}" "$place/$1.new"
    mv "$place/$1.new" "$place/$1"
}

begin() {
    mkdir "$place" 2>/dev/null || fail "$place is there already: nothing was made or changed."
    password=$(random)
    # Compose reads these two itself, as whoever runs it.
    keep master_key.env "NORTHGATE_MASTER_KEY=$(random)"
    keep database.env "NORTHGATE_DATABASE__URL=postgresql://northgate:$password@postgres:5432/northgate"
    # These two are mounted, and read by users of the containers whom the host does not know. They
    # are open to them, in a directory that is closed to everybody else on the host.
    keep postgres_password "$password" 444
    keep grafana_password "$(random)" 444
    echo "The secrets are in $(pwd)/$place. Keep a copy of master_key.env elsewhere."
}

adopt() {
    next=$place/next_master_key.env
    [ -e "$next" ] || fail "There is no $next: run sh init.sh next-master-key first."
    before=$place/master_key.$(date -u +%Y%m%dT%H%M%SZ).env
    [ ! -e "$before" ] || fail "$before is there already: wait for a second."
    ln "$place/master_key.env" "$before"
    sed 's/^NORTHGATE_NEW_MASTER_KEY=/NORTHGATE_MASTER_KEY=/' "$next" > "$place/master_key.env.new"
    mv "$place/master_key.env.new" "$place/master_key.env"
    rm "$next"
    echo "The key before is in $before: backups of that time need it."
}

case "${1-}" in
    "") begin ;;
    next-master-key)
        [ -e "$place/master_key.env" ] || fail "There are no secrets yet: run sh init.sh first."
        keep next_master_key.env "NORTHGATE_NEW_MASTER_KEY=$(random)"
        ;;
    adopt-master-key) adopt ;;
    *) fail "Unknown: $1. See the first lines of init.sh." ;;
esac
