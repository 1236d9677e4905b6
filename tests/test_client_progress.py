"""The progress bar: on a terminal, for what takes a while, and gone at the end."""

from __future__ import annotations

import io
import os

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from pigpen.client.bar import amounts
from pigpen.client.progress import ProgressBar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class ProgressTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(os, "environ", {"TERM": "xterm", "COLUMNS": "100", "LINES": "24"})
        self.clock = Clock()

    def transfer(self, stream: io.StringIO, total: int | None, label: str = "film") -> str:
        bar = ProgressBar(stream, label, self.clock)
        bar.start(total)
        try:
            bar.show(1)
            self.assertEqual(stream.getvalue(), "")
            self.clock.advance(1)
            bar.show(5 * 2**20)
        finally:
            bar.stop()
        bar.stop()
        return stream.getvalue()

    def test_terminal(self) -> None:
        text = self.transfer(Terminal(), 10 * 2**20)
        self.assertIn("film", text)
        self.assertIn("5.0 of 10.0 MiB", text)

    def test_gone(self) -> None:
        """At the end the line is empty and the cursor is to be seen."""
        text = self.transfer(Terminal(), 10 * 2**20)
        self.assertTrue(text.endswith("\x1b[2K"), text[-40:])
        self.assertGreater(text.rindex("\x1b[?25h"), text.rindex("\x1b[?25l"))

    def test_unknown_total(self) -> None:
        text = self.transfer(Terminal(), None)
        self.assertIn("film 5.0 MiB", text)
        self.assertNotIn(" of ", text)

    def test_long_label(self) -> None:
        text = self.transfer(Terminal(), None, "a" * 100 + "/the/end")
        self.assertNotIn("a" * 50, text)
        self.assertIn("/the/end", text)

    def test_no_terminal(self) -> None:
        """Programs and files see nothing of it."""
        self.assertEqual(self.transfer(io.StringIO(), 10), "")

    def test_nobody(self) -> None:
        bar = ProgressBar(None, "film", self.clock)
        bar.start(10)
        self.clock.advance(1)
        bar.show(10)
        bar.stop()


class FormatTests(SynchronousTestCase):
    def test_amounts(self) -> None:
        for given, text in [
            ((5, None, None), "5 B"),
            ((5, 10, None), "5 B of 10 B"),
            ((2**29, 2**31, None), "512.0 MiB of 2.0 GiB"),
            ((2**30, 2**31, 2**20), "1.0 of 2.0 GiB, 1.0 MiB/s"),
        ]:
            self.assertEqual(amounts(*given), text)
