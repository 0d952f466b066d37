#!/usr/bin/env bash
# Checks deploy/ as far as that goes without a container engine:
#
#   cargo build && deploy/check.sh
#
# WEIR_BIN is the binary (default target/debug/weir). A check whose tool is absent is skipped aloud.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=${WEIR_BIN:-target/debug/weir}
# weir would take it for a key of the configuration.
unset WEIR_BIN
cache=${CARGO_TARGET_DIR:-target}/deploy_check
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

failed=0
fail() { echo "deploy: $*" >&2; failed=1; }
skip() { echo "deploy: SKIPPED $*"; }
has() { command -v "$1" >/dev/null; }

# A python that reads YAML; one is made where there is none.
find_python() {
    has python3 || return 1
    for python in python3 "$cache/venv/bin/python"; do
        ! "$python" -c 'import yaml' 2>/dev/null || return 0
    done
    python3 -m venv "$cache/venv" && "$python" -m pip install -q pyyaml==6.0.2
}

scripts() {
    local script
    for script in .ci/run deploy/*.sh tests/real_clients/*.sh; do
        bash -n "$script" || fail "$script"
        [ -x "$script" ] || fail "$script is not executable"
    done
}

# The unit names a binary that is not installed here.
unit() {
    sed 's|/usr/local/bin/weir|/bin/true|' deploy/systemd/weir.service >"$work/weir.service"
    cp deploy/systemd/weir.socket "$work/"
    # An unknown key is only a warning to it.
    systemd-analyze verify "$work/weir.service" "$work/weir.socket" >"$work/verify" 2>&1 || true
    [ ! -s "$work/verify" ] || fail "systemd: $(<"$work/verify")"
    # In tenths of systemd's "exposure level", which runs from 0 to 10.
    systemd-analyze security --offline=true --threshold=15 --no-pager "$work/weir.service" \
        >"$work/security" || fail "weir.service is less hardened than it was: $(tail -n 1 "$work/security")"
}

alerts() {
    promtool check config deploy/prometheus/prometheus.yml >"$work/alerts" || fail "$(<"$work/alerts")"
    promtool test rules deploy/prometheus/alerts.test.yml >"$work/alerts" || fail "$(<"$work/alerts")"
}

# What the configurations name from outside is put in their place.
configuration() {
    (umask 077 && echo stand-in >"$work/secret")
    local file digits=0000000000000000000000000000000000000000000000000000000000000000
    for file in deploy/*/weir.toml; do
        sed -E -e "s|REPLACE-WITH-64-HEX-DIGITS|$digits|" -e "s|file = \"/run/[^\"]*\"|file = \"$work/secret\"|" \
            "$file" >"$work/weir.toml"
        "$bin" check -c "$work/weir.toml" >"$work/out" 2>"$work/err" || fail "$file: $(<"$work/err")"
        ! grep -q stand-in "$work/out" "$work/err" || fail "$file: weir check shows a secret"
        ! grep -q state_dir "$work/err" || fail "$file: $(grep state_dir "$work/err")"
    done
}

scripts
if find_python; then "$python" deploy/check.py || fail "check.py"; else skip "check.py: no python3 with yaml"; fi
if has systemd-analyze; then unit; else skip "weir.service: no systemd-analyze"; fi
if has kubectl; then kubectl kustomize deploy/kubernetes >/dev/null || fail "kustomization.yaml"; else skip "kustomize: no kubectl"; fi
if has promtool; then alerts; else skip "alerts.test.yml: no promtool"; fi
if [ -x "$bin" ]; then configuration; else skip "weir check: no binary at $bin"; fi

[ $failed = 0 ] || exit 1
echo "deploy: in order"
