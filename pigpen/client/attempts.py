"""Attempts: how often, and after which pauses, a transfer is tried again."""

from __future__ import annotations

from pigpen.env import Env, sleep
from pigpen.errors import Untrusted

#: tries without a single new byte before giving up (CLD-45)
MAX_TRIES = 5
FIRST_PAUSE_SECONDS = 0.3
MAX_PAUSE_SECONDS = 10.0


class Attempts:
    """Counts tries without progress; pauses grow and are spread, so that clients do not march."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self._tries = 0

    def progress(self) -> None:
        self._tries = 0

    async def again(self, error: Exception, retry_after: object = None) -> None:
        """Wait for the next try.

        :raises Exception: `error`, if there were too many, or no other try would help.
        """
        self._tries += 1
        if self._tries >= MAX_TRIES or isinstance(error, Untrusted):
            raise error
        pause = FIRST_PAUSE_SECONDS * 2 ** (self._tries - 1) * self._env.random.uniform(0.8, 1.2)
        if isinstance(retry_after, int):
            pause = max(pause, float(retry_after))
        await sleep(self._env, min(pause, MAX_PAUSE_SECONDS))
