"""Lists all users of a session with Python `requests`, following the pages.

    python3 requests_client.py GATEWAY SESSION SPELLING PAGE_SIZE

SPELLING says how the session id stands in the path: raw, once or twice percent-encoded.
Prints one user id a line.
"""

import sys
from urllib.parse import quote

import requests

SPELLINGS = {
    "raw": lambda session: session,
    "once": lambda session: quote(session, safe=""),
    "twice": lambda session: quote(quote(session, safe=""), safe=""),
}


def main() -> None:
    gateway, session, spelling, page_size = sys.argv[1:]
    url = f"{gateway}/videosdk/sessions/{SPELLINGS[spelling](session)}/users"
    params = {"page_size": page_size}
    with requests.Session() as client:
        while True:
            answer = client.get(url, params=params, timeout=30)
            if answer.status_code != 200:
                sys.exit(f"{answer.status_code} from {answer.url}: {answer.text[:200]}")
            page = answer.json()
            for user in page["users"]:
                print(user["id"])
            if not page["next_page_token"]:
                return
            params["next_page_token"] = page["next_page_token"]


main()
