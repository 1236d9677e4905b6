"""Which clients may be redirected, by their User-Agent (CLD-39). Pure.

Some send the access key on to the host they are redirected to. They get the bytes from us instead.
"""

from __future__ import annotations

from urllib.parse import urlsplit

# these forward every field they were given by hand, Authorization too
_FORWARD_KEYS = (
    "wget/", "java/", "java-http-client/", "apache-httpclient/", "python-urllib/", "lwp",
    "libwww-perl/", "aria2/",
)  # fmt: skip
# Go compares names without ports, and takes a subdomain for the same place
_FORWARD_TO_SAME_NAME = ("go-http-client/", "rclone/", "restic/")


def may_redirect(user_agent: str, asked_name: str, target: str) -> bool:
    """:param asked_name: the Host field of the request. :param target: where it would be sent."""
    agent = user_agent.lower()
    if agent.startswith(_FORWARD_KEYS):
        return False
    if agent.startswith(_FORWARD_TO_SAME_NAME):
        return not _same_name(asked_name, target)
    return True


def never_redirect(user_agent: str) -> bool:
    """Whether a client is to be sent nowhere, whatever the target."""
    return user_agent.lower().startswith(_FORWARD_KEYS)


def _same_name(asked_name: str, target: str) -> bool:
    try:
        here = urlsplit(f"//{asked_name}").hostname or ""
    except ValueError:
        return True
    there = urlsplit(target).hostname or ""
    return there == here or there.endswith(f".{here}")
