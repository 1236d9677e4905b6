"""Which clients may be redirected, by their User-Agent (CLD-39). Pure.

Some send the access key on to the host they are redirected to. They get the bytes from us instead.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

# these forward every field they were given by hand, Authorization too; of node-fetch 2, which has
# one name for all its versions, those before 2.6.7 (CVE-2022-0235)
_FORWARD_KEYS = (
    "wget/", "java/", "java-http-client/", "apache-httpclient/", "python-urllib/", "lwp",
    "libwww-perl/", "aria2/", "node-fetch/1.0",
)  # fmt: skip
# these compare names without ports, or take a subdomain for the same place (CVE-2022-31091 of
# Guzzle)
_FORWARD_TO_SAME_NAME = (
    "go-http-client/", "rclone/", "restic/", "node-fetch", "make-fetch-happen/", "axios/",
    "guzzlehttp/", "postmanruntime/",
)  # fmt: skip
_CURL = re.compile(r"\b(?:lib)?curl/([0-9]{1,4})\.([0-9]{1,4})", re.ASCII)
#: first curl that forwards such a field to no other name (CVE-2018-1000007), to no other port
#: (CVE-2022-27776)
_CURL_KEEPS_FROM_NAMES = (7, 58)
_CURL_KEEPS_FROM_PORTS = (7, 83)


def may_redirect(user_agent: str, asked_name: str, target: str) -> bool:
    """:param asked_name: the Host field of the request. :param target: where it would be sent."""
    agent = user_agent.lower()
    if never_redirect(agent):
        return False
    if agent.startswith(_FORWARD_TO_SAME_NAME) or _is_old_curl(agent, _CURL_KEEPS_FROM_PORTS):
        return not _same_name(asked_name, target)
    return True


def never_redirect(user_agent: str) -> bool:
    """Whether a client is to be sent nowhere, whatever the target."""
    agent = user_agent.lower()
    return agent.startswith(_FORWARD_KEYS) or _is_old_curl(agent, _CURL_KEEPS_FROM_NAMES)


def _is_old_curl(agent: str, first: tuple[int, int]) -> bool:
    """Whether it is one from before `first`, as a program or in another one."""
    match = _CURL.search(agent)
    return match is not None and (int(match[1]), int(match[2])) < first


def _same_name(asked_name: str, target: str) -> bool:
    try:
        here = urlsplit(f"//{asked_name}").hostname or ""
    except ValueError:
        return True
    there = urlsplit(target).hostname or ""
    return there == here or there.endswith(f".{here}")
