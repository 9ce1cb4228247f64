"""Somebody who clicks through the pages without a rest: ``python -m hub.bench.browse ADDRESS NAME``.

The password comes on standard input; each page that came adds a dot to standard output. Ends when told to.
"""

from __future__ import annotations

import itertools
import os
import re
import sys
import time
from http.cookiejar import CookieJar
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, OpenerDirector, build_opener

PATHS = ("/", "/messages", "/channels/forward", "/queues", "/figures", "/messages?outcome=delivered")
LOOK_SECONDS = 0.2
"""How long a person looks before the next click; several people do that."""


def main() -> None:
    """Sign in, then go from page to page."""
    address, name = sys.argv[1:]
    browser = build_opener(HTTPCookieProcessor(CookieJar()))
    _sign_in(browser, address, name, sys.stdin.readline().strip())
    for path in itertools.cycle(PATHS):
        with browser.open(address + path) as page:
            page.read()
        os.write(1, b".")
        time.sleep(LOOK_SECONDS)


def _sign_in(browser: OpenerDirector, address: str, name: str, password: str) -> None:
    with browser.open(address + "/login") as page:
        found = re.search(r'name="csrf" value="([^"]+)"', page.read().decode())
    if found is None:
        raise SystemExit("The page to sign in has no form.")
    fields = {"csrf": found[1], "next": "/", "name": name, "password": password}
    with browser.open(address + "/login", urlencode(fields).encode()) as page:
        if page.url.endswith("/login"):
            raise SystemExit("The password was not taken.")


if __name__ == "__main__":
    main()
