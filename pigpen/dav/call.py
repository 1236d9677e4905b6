"""Call: what every method of the face is given."""

from __future__ import annotations

from dataclasses import dataclass

from pigpen.dav.settings import DavSettings
from pigpen.env import Env
from pigpen.http.key import Key
from pigpen.http.message import Request
from pigpen.http.namespace import Namespace, When


@dataclass(frozen=True, slots=True)
class Call:
    """One request that was let in. ``key``: of the namespace, without the prefix of the face.

    ``when``: its conditions, the tags of its If field as paths of keys, and who asks.
    """

    env: Env
    settings: DavSettings
    request: Request
    namespace: Namespace
    key: Key
    when: When

    def href(self, key: Key) -> str:
        """The absolute, encoded path of a key here; a collection's ends in a slash (DAV-61)."""
        prefix = self.settings.prefix
        return key.to_path() if prefix.is_root else prefix.to_path().rstrip("/") + key.to_path()
