"""What a command is started with: files, folders, links, devices, closed streams."""

from __future__ import annotations

import io
import os
import sys

from twisted.logger import LogLevel
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from pigpen.client import console
from pigpen.client.inputs import FileInput, PipeInput
from pigpen.errors import FileFailed
from pigpen.http.body import BytesBody
from pigpen.testing.env import SimEnv


class ConsoleCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.env = SimEnv()
        self.folder = os.path.abspath(self.mktemp())
        os.mkdir(self.folder)

    def path(self, name: str, data: bytes | None = None) -> str:
        path = os.path.join(self.folder, name)
        if data is not None:
            with open(path, "wb") as file:
                file.write(data)
        return path


class InputTests(ConsoleCase):
    def test_file(self) -> None:
        """A file has a length, and an identity that any change changes."""
        path = self.path("a", b"hello")
        first = console.open_input(self.env, path)
        assert isinstance(first, FileInput)
        self.addCleanup(os.close, first.file.fileno())
        self.assertEqual(first.length, 5)
        os.utime(path, (1, 1))
        second = console.open_input(self.env, path)
        assert isinstance(second, FileInput)
        self.addCleanup(os.close, second.file.fileno())
        self.assertNotEqual(first.identity, second.identity)

    def test_device(self) -> None:
        self.assertIsInstance(console.open_input(self.env, "/dev/null"), PipeInput)

    def test_wrong(self) -> None:
        """What cannot be read: which file, and what to do with a folder."""
        for path, part in [
            (self.path("nowhere"), "No such file"),
            (self.folder, "tar -c FOLDER | pigpen put KEY"),
        ]:
            error = self.assertRaises(FileFailed, console.open_input, self.env, path)
            self.assertIn(path, error.message)
            self.assertIn(part, error.message)


class OutputTests(ConsoleCase):
    def save(self, path: str, name: str = "name") -> None:
        output = console.open_output(self.env, path, name)
        assert isinstance(output, console.FileOutput)
        self.assertNotIn("new", os.listdir(self.folder))
        self.saved = output._path, output._mode

    def test_new(self) -> None:
        """Nothing is made before there are bytes; the rights are those of the user's umask."""
        old = os.umask(0o027)
        self.addCleanup(os.umask, old)
        self.save(self.path("new"))
        self.assertEqual(self.saved, (self.path("new"), 0o640))

    def test_existing(self) -> None:
        """An older file's rights stay, and a link stays a link to what it names."""
        path = self.path("old", b"x")
        os.chmod(path, 0o600)
        os.symlink("old", self.path("link"))
        self.save(self.path("link"))
        self.assertEqual(self.saved, (path, 0o600))

    def test_folder(self) -> None:
        """Into a folder, under the last name of the key."""
        self.save(self.folder, "film")
        self.assertEqual(self.saved[0], self.path("film"))

    def test_wrong(self) -> None:
        path = os.path.join(self.path("file", b""), "below")
        error = self.assertRaises(FileFailed, console.open_output, self.env, path, "x")
        self.assertIn("Not a directory", error.message)

    def test_full(self) -> None:
        """A full disk behind a pipe or a device is one sentence."""
        output = console.open_output(self.env, "/dev/full", "x")
        assert isinstance(output, console.PipeOutput)
        self.addCleanup(os.close, output._descriptor)
        error = self.assertRaises(FileFailed, self.env.run, output.take(BytesBody(b"x")))
        self.assertIn("No space left", error.message)


class Closed(io.StringIO):
    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        raise self.error


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class ShowTests(SynchronousTestCase):
    def test_no_tricks(self) -> None:
        """A name made by somebody else does not play with the terminal; a pipe gets it as it is."""
        for stdout, said in ((Terminal(), "a?2Jb\n"), (io.StringIO(), "a\x9b2Jb\n")):
            self.patch(sys, "stdout", stdout)
            console.show("a\x9b2Jb")
            self.assertEqual(stdout.getvalue(), said)

    def test_nobody_reads(self) -> None:
        """`pigpen ls | head` ends by the pipe; a service runs on without its banner."""
        self.patch(sys, "stdout", Closed(BrokenPipeError()))
        self.assertRaises(BrokenPipeError, console.show, "line")
        console.announce("line")

    def test_full(self) -> None:
        self.patch(sys, "stdout", Closed(OSError(28, "No space left on device")))
        error = self.assertRaises(FileFailed, console.show, "line")
        self.assertIn("standard output", error.message)

    def test_closed(self) -> None:
        self.patch(sys, "stdout", None)
        self.assertRaises(FileFailed, console.show, "line")
        console.announce("line")
        console.flush()

    def test_no_stderr(self) -> None:
        """With nobody to tell, it is not told."""
        self.patch(sys, "stderr", None)
        console.complain("line")


class LogLineTests(SynchronousTestCase):
    def line(self, level: LogLevel, namespace: str, *, quiet: bool = False) -> str | None:
        event = {"log_level": level, "log_namespace": namespace, "log_time": 0.0,
                 "log_format": "host {id} is online", "id": 7}  # fmt: skip
        return console.log_line(event, quiet=quiet)

    def test_ours(self) -> None:
        """When, and what; the names of our classes are nothing to an operator."""
        line = self.line(LogLevel.info, "pigpen.host.session.Session")
        self.assertRegex(str(line), r"^[-0-9]+T[:0-9]+[+-][0-9]+ host 7 is online\n$")
        self.assertIn(" warn: host 7", str(self.line(LogLevel.warn, "pigpen.host")))

    def test_others(self) -> None:
        """Of Twisted only what is wrong."""
        for namespace in ("-", "twisted.internet.base", "pigpenlike"):
            self.assertIsNone(self.line(LogLevel.info, namespace))
            self.assertIsNotNone(self.line(LogLevel.critical, namespace))

    def test_quiet(self) -> None:
        """Of solo as well."""
        self.assertIsNone(self.line(LogLevel.info, "pigpen.host", quiet=True))
        self.assertIsNotNone(self.line(LogLevel.warn, "pigpen.host", quiet=True))

    def test_failure(self) -> None:
        """The operator gets the traceback of what should not happen."""
        event = {"log_level": LogLevel.critical, "log_namespace": "pigpen.x", "log_time": 0.0,
                 "log_format": "failed", "log_failure": Failure(ValueError("why"))}  # fmt: skip
        self.assertIn("ValueError: why", str(console.log_line(event, quiet=True)))
