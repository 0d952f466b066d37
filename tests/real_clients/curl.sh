#!/usr/bin/env bash
# Lists all users of a session with curl, following the pages.
#
#   curl.sh GATEWAY SESSION SPELLING PAGE_SIZE
#
# SPELLING says how the session id stands in the path: raw, once or twice percent-encoded; with
# `lower` it is once encoded in lower-case hex; with `whole` the whole path is encoded, as Rivet
# does it. Prints one user id a line.
set -euo pipefail

gateway=$1 session=$2 spelling=$3 page_size=$4

# Ids are base64: nothing else in them needs encoding. A path needs no more.
encode() { sed -e 's|%|%25|g' -e 's|/|%2F|g' -e 's|+|%2B|g' -e 's|=|%3D|g'; }

case $spelling in
    raw) path=/videosdk/sessions/$session/users ;;
    once) path=/videosdk/sessions/$(encode <<<"$session")/users ;;
    twice) path=/videosdk/sessions/$(encode <<<"$session" | encode)/users ;;
    lower) path=/videosdk/sessions/$(encode <<<"$session" | sed -E 's/%../\L&/g')/users ;;
    whole) path=/v2/$(encode <<<"/videosdk/sessions/$session/users" | encode) ;;
    *) echo "unknown spelling: $spelling" >&2; exit 64 ;;
esac

token=
while :; do
    # --globoff and --path-as-is: the bytes above are what goes out.
    if ! page=$(curl --silent --show-error --fail-with-body --globoff --path-as-is --max-time 30 \
        --get --data "page_size=$page_size" ${token:+--data-urlencode "next_page_token=$token"} \
        "$gateway$path"); then
        echo "$path: ${page:0:300}" >&2
        exit 1
    fi
    { grep -o '"id":"[^"]*"' <<<"$page" || true; } | cut -d '"' -f 4
    token=$(grep -o '"next_page_token":"[^"]*"' <<<"$page" | cut -d '"' -f 4)
    [ -n "$token" ] || break
done
