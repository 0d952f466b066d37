#!/usr/bin/env bash
# Real clients against a real gateway: Zoom's own Node client, Python `requests` and curl list all
# users of the demo's sessions through weir, and must find exactly the users that the sandbox has.
#
#   cargo build && tests/real_clients/run.sh [--all]
#
# Builds nothing. WEIR_BIN is the binary (default target/debug/weir). A client whose tool is absent
# is skipped, and the table at the end says so; with --all that is a failure. The first run fetches
# npm packages (pinned by package-lock.json) and, where python lacks it, `requests`.
set -euo pipefail

REQUESTS=requests==2.32.5
PATIENCE=30 # seconds until the demo has to be up

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
bin=${WEIR_BIN:-$root/target/debug/weir}
cache=${CARGO_TARGET_DIR:-$root/target}/real_clients
all=false
[ "${1:-}" != --all ] || all=true

# A proxy for the world outside must not see what stays on this machine.
export no_proxy="127.0.0.1${no_proxy:+,$no_proxy}" NO_PROXY="127.0.0.1${NO_PROXY:+,$NO_PROXY}"

die() { echo "real clients: $*" >&2; exit 1; }

[ -x "$bin" ] || die "no binary at $bin: cargo build, or set WEIR_BIN"
command -v curl >/dev/null || die "curl is needed to read what the sandbox knows"

work=$(mktemp -d)
demo=
clean_up() {
    if [ -n "$demo" ]; then
        kill "$demo" 2>/dev/null || true
        for _ in $(seq 50); do kill -0 "$demo" 2>/dev/null || break; sleep 0.1; done
        kill -9 "$demo" 2>/dev/null || true
        wait "$demo" 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# ---- the demo ---------------------------------------------------------------------------------

start_demo() {
    "$bin" demo --listen 127.0.0.1:0 --admin 127.0.0.1:0 --sandbox 127.0.0.1:0 \
        >"$work/demo.out" 2>"$work/demo.err" &
    demo=$!
    local until=$((SECONDS + PATIENCE))
    until printed sandbox >/dev/null; do
        kill -0 "$demo" 2>/dev/null || die "the demo ended: $(cat "$work/demo.err")"
        [ $SECONDS -lt $until ] || die "the demo printed no addresses: $(cat "$work/demo.out")"
        sleep 0.1
    done
    gateway=$(printed gateway) admin=$(printed admin) sandbox=$(printed sandbox)
    "$bin" probe "$admin/readyz" || die "the gateway is not ready"
}

# The address the demo printed under this name. The line is whole once the next one begins.
printed() {
    grep -m 1 -oE "^$1 +http://[0-9.]+:[0-9]+$" "$work/demo.out" | sed 's/^[^ ]* *//'
}

# ---- what the sandbox knows -------------------------------------------------------------------

control() { curl --silent --show-error --fail --globoff --max-time 30 "$sandbox/_sandbox/$1"; }

# "users id" of every live session, most users first.
live_sessions() {
    control sessions | tr '}' '\n' | grep '"state":"live"' |
        sed -E 's/.*"id":"([^"]*)".*"listed":([0-9]+).*/\2 \1/' | sort -rn
}

# The live session with the most users whose id matches.
session_with() { awk -v id="$1" '$2 ~ id { print $2; exit }' "$work/live"; }

# Ids of all users of a session, sorted.
truth() { control "users?session=$1" | grep -o '"id":"[^"]*"' | cut -d '"' -f 4 | sort; }

pick_sessions() {
    live_sessions >"$work/live"
    big=$(awk 'NR == 1 { print $2 }' "$work/live")
    [ "$(awk 'NR == 1 { print $1 }' "$work/live")" -gt 1000 ] || die "no session of over 1,000 users"
    leading=$(session_with '^/') inner=$(session_with '^[^/]+/[^/]+$') double=$(session_with '^[^/]+//')
    names=(big leading inner double)
    local name
    for name in "${names[@]}"; do
        [ -n "${!name}" ] || die "no live session of the kind: $name"
        truth "${!name}" >"$work/$name.before"
    done
}

# ---- clients ----------------------------------------------------------------------------------

rivet() { node "$here/rivet.mjs" "$@"; }
requests() { "$python" "$here/requests_client.py" "$@"; }
curl_() { "$here/curl.sh" "$@"; }

# Each prints why it cannot run, or nothing.
prepare_rivet() {
    command -v node >/dev/null && command -v npm >/dev/null || { echo "no node or no npm"; return; }
    local done=$here/node_modules/.package-lock.json
    [ ! "$done" -nt "$here/package-lock.json" ] || return 0
    npm --prefix "$here" ci --ignore-scripts --no-audit --no-fund >"$work/npm" 2>&1 ||
        echo "npm ci failed: $(grep -m 1 -i error "$work/npm" || tail -n 1 "$work/npm")"
}

prepare_requests() {
    command -v python3 >/dev/null || { echo "no python3"; return; }
    for python in python3 "$cache/venv/bin/python"; do
        ! "$python" -c 'import requests' 2>/dev/null || return 0
    done
    { python3 -m venv "$cache/venv" && "$python" -m pip install -q "$REQUESTS"; } \
        >"$work/pip" 2>&1 || echo "pip install failed: $(tail -n 1 "$work/pip")"
}

prepare_curl_() { :; } # without curl, this script does not come so far

# ---- walks ------------------------------------------------------------------------------------

rows=() failed=0 skipped=0 python=python3
row() { rows+=("$(printf '%-9s %-9s %-8s %5s %6s %6s  %s' "$@")"); }

# Compares what a walk found with the truth before and after: users come and go meanwhile, so all
# who were there before and after must be found, and nobody who was there at neither time.
judge() {
    local name=$1 found=$work/found.sorted
    sort "$work/found" >"$found"
    truth "${!name}" >"$work/after"
    [ -z "$(uniq -d "$found")" ] || { echo "users listed twice: $(uniq -d "$found" | wc -l)"; return; }
    comm -12 "$work/$name.before" "$work/after" | comm -23 - "$found" >"$work/missing"
    sort -mu "$work/$name.before" "$work/after" | comm -13 - "$found" >"$work/invented"
    if [ -s "$work/missing" ] || [ -s "$work/invented" ]; then
        echo "$(wc -l <"$work/missing") users missing, $(wc -l <"$work/invented") that are not there"
    else
        echo ok
    fi
}

# walk CLIENT SESSION-NAME SPELLING PAGE_SIZE
walk() {
    local client=$1 name=$2 spelling=$3 size=$4 verdict started=${EPOCHREALTIME/./}
    if "$client" "$gateway" "${!name}" "$spelling" "$size" >"$work/found" 2>"$work/complaint"; then
        verdict=$(judge "$name")
    else
        verdict="failed: $(grep -m 1 . "$work/complaint" || echo 'without a word')"
        sed 's/^/    /' "$work/complaint" >&2
    fi
    local ms=$(((${EPOCHREALTIME/./} - started) / 1000))
    [ "$verdict" = ok ] || failed=$((failed + 1))
    row "${client%_}" "$name" "$spelling" "$size" "$(wc -l <"$work/found")" "$ms" "$verdict"
}

# run CLIENT: its walks, from standard input, unless it cannot run.
run() {
    local client=$1 why walks walk
    "prepare_$client" >"$work/why"
    why=$(<"$work/why")
    if [ -n "$why" ]; then
        skipped=$((skipped + 1))
        row "${client%_}" - - - - - "SKIPPED: $why"
        return
    fi
    mapfile -t walks
    for walk in "${walks[@]}"; do
        # shellcheck disable=SC2086 # three words
        walk "$client" $walk </dev/null
    done
}

# Nothing was refused upstream on the way, whatever reached the clients.
upstream_was_content() {
    local bad
    bad=$(control counters | tr '}' '\n' | grep -oE '"status":(0|[345][0-9]{2})\b' | sort | uniq -c || true)
    [ -z "$bad" ] || { failed=$((failed + 1)); row sandbox - - - - - "answered${bad//$'\n'/,}"; }
}

# Prometheus reads the metrics too, where its tool is here: all of them, after all those walks.
prometheus_was_content() {
    local verdict=ok
    command -v promtool >/dev/null || return 0
    curl --silent --show-error --fail "$admin/metrics" | promtool check metrics >"$work/found" 2>&1 ||
        { failed=$((failed + 1)) && verdict=$(head -n 3 "$work/found" | tr '\n' ';'); }
    row promtool metrics - - - - "$verdict"
}

start_demo
pick_sessions

# 38 pages at 30 a page: about four seconds at ten a second. All the others are short.
run rivet <<'WALKS'
big default 300
big default 30
leading default 300
inner default 300
double default 300
leading raw 100
inner raw 100
double raw 100
WALKS
run requests <<'WALKS'
big raw 300
leading raw 50
leading once 50
leading twice 50
inner raw 50
inner once 50
inner twice 50
double raw 50
double once 50
double twice 50
WALKS
run curl_ <<'WALKS'
big raw 300
leading raw 300
leading once 300
leading twice 300
leading lower 300
leading whole 300
inner raw 300
inner once 300
inner twice 300
inner lower 300
inner whole 300
double raw 300
double once 300
double twice 300
double lower 300
double whole 300
WALKS
upstream_was_content
prometheus_was_content

printf '\n%-9s %-9s %-8s %5s %6s %6s  %s\n' client session spelling page users ms result
printf '%s\n' "${rows[@]}"
echo
[ $skipped = 0 ] || echo "$skipped of 3 clients did NOT run: see SKIPPED above."
[ $skipped = 0 ] || ! $all || die "--all: every client has to run"
[ $failed = 0 ] || die "$failed failed"
echo "Every client that ran found exactly the users that the sandbox has."
