"""A home folder of a test, with the files of a user in it."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase


class HomeCase(SynchronousTestCase):
    """The environment names this home, and nothing else."""

    def setUp(self) -> None:
        self.home = self.mktemp()
        os.mkdir(self.home)
        self.patch(os, "environ", {"PIGPEN_HOME": self.home, "HOME": self.home})

    def write(self, name: str, text: str) -> str:
        """A file that others cannot read. :return: its path."""
        path = os.path.join(self.home, name)
        with open(path, "w") as file:
            file.write(text)
        os.chmod(path, 0o600)
        return path
