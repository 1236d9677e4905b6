"""What people type, old spellings and new, and what they read when it is wrong."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from pigpen import cli, command_options
from pigpen.client.console import complain, hide_key
from pigpen.errors import BadKey, ConfigError, NotFound, OutcomeUnknown
from tests.home_kit import HomeCase

#: typed, today's spelling
SPELLINGS = [
    ("--put key/name -k K", "put key/name -k K"),
    ("-k K --put key/name", "put -k K key/name"),
    ("--put=key/name -k K", "put key/name -k K"),
    ("--get key/name -k K", "get key/name -k K"),
    ("--runserver -k K -p 2574", "runserver -k K -p 2574"),
    ("--host /Volumes/my_share_dir --access-key=K --target-size=10G",
     "host /Volumes/my_share_dir --access-key=K --target-size=10G"),
    ("account -k K", "account -k K"),
    ("-k K account", "account -k K"),
    ("put --put", "put --put"),
    ("--help", "--help"),
    ("", ""),
]  # fmt: skip


class CommandLineCase(HomeCase):
    def parse(self, line: str) -> tuple[str, Any]:
        found = command_options.CommandOptions()
        found.parseOptions(command_options.translated(line.split()))
        return found.subCommand, found.subOptions

    def wrong(self, line: str) -> str:
        return str(self.assertRaises(UsageError, self.parse, line))


class SpellingTests(CommandLineCase):
    def test_translated(self) -> None:
        for typed, today in SPELLINGS:
            self.assertEqual(command_options.translated(typed.split()), today.split(), typed)

    def test_put_get(self) -> None:
        """The first README's put and get read the key and the access key, in any order."""
        for line in ("--put a/b -k K", "-k K --put a/b", "put a/b --access-key=K", "put -kK a/b"):
            name, found = self.parse(line)
            self.assertEqual((name, found["key"], found["file"]), ("put", "a/b", "-"), line)
            self.assertEqual(found["access-key"], "K", line)
        name, found = self.parse("--get a/b -k K")
        self.assertEqual((name, found["key"], found["access-key"]), ("get", "a/b", "K"))

    def test_host(self) -> None:
        name, found = self.parse("--host /share --access-key=K --target-size=10G")
        self.assertEqual(name, "host")
        self.assertEqual(found.config.folder, "/share")
        self.assertEqual(found.config.access_key, "K")
        self.assertEqual(found.config.target_size, 10 * 2**30)
        self.assertEqual(found.config.port, 2575)

    def test_runserver(self) -> None:
        _, found = self.parse("--runserver -k K -p 2580")
        self.assertEqual((found.config.port, found.config.access_key), (2580, "K"))
        self.assertEqual(found.config.coordinator, "http://127.0.0.1:2573")

    def test_odd_keys(self) -> None:
        """A key may begin with a dash, behind two of them."""
        _, found = self.parse("put -- -k file")
        self.assertEqual((found["key"], found["file"]), ("-k", "file"))


class WrongTests(CommandLineCase):
    def test_wrong(self) -> None:
        """One sentence that says what is wrong or what to do."""
        for line, part in [
            ("", "say what to do"),
            ("frob", "there is no command 'frob'"),
            ("gte a", "there is no command 'gte'; did you mean get?"),
            ("--frob", "there is no option --frob"),
            ("put", "KEY is missing"),
            ("get", "KEY is missing"),
            ("rm", "KEY is missing"),
            ("put a b c", "'c' is one argument too many"),
            ("ls a b", "'b' is one argument too many"),
            ("account a", "'a' is one argument too many"),
            ("put a --frob", "there is no option --frob"),
            ("put a --tpye=x", "there is no option --tpye; did you mean --type?"),
            ("put a --new=x", "option --new takes no value"),
            ("put a --co=x", "option --co could be more than one: write it in full"),
            ("get a -k", "option -k needs a value"),
            ("get a --config", "option --config needs a value"),
            ("host", "name a folder: pigpen host DIR"),
            ("host x y", "'y' is one argument too many"),
            ("host x --target-size=lots", "target_size: 'lots' is no size"),
            ("host x --target-size=-5", "target_size: '-5' is no size"),
            ("host x --port=http", "port"),
            ("host x --port=99999", "port: expected `int` <= 65535"),
            ("solo x --gateway-port=-1", "gateway_port: expected `int` >= 0"),
            ("host x --config=/nowhere.yaml", "/nowhere.yaml"),
            ("--runserver here", "'here' is one argument too many"),
        ]:
            self.assertIn(part, self.wrong(line), line)

    def test_files(self) -> None:
        """A wrong file: which one, where in it, and what to do."""
        for text, part in [
            ("host: {folde: /x}", "did you mean 'folder'?"),
            ("host: {port: many}", "host.port"),
            ("host: [", "line 1"),
            ("host: {target_size: big}", "'big' is no size"),
            ("hots: {}", "did you mean 'host'?"),
            ("just words", "names and values"),
        ]:
            path = self.write("p.yaml", text)
            said = self.wrong(f"host x --config={path}")
            self.assertIn(part, said, text)
            self.assertIn(path, said)

    def ended(self, line: str) -> tuple[int, list[str]]:
        stderr = io.StringIO()
        self.patch(sys, "stderr", stderr)
        return cli.run(line.split()), stderr.getvalue().splitlines()

    def test_user_file(self) -> None:
        """A mistake in ~/.pigpen: said before anything is asked of the network."""
        for text, part in [
            ("acesskey: x", "did you mean 'accesskey'?"),
            ("coordinator: http://localhost", "no access key"),
            ("accesskey: [x", "line"),
        ]:
            path = self.write(".pigpen", text)
            error = self.assertRaises(ConfigError, cli._who, self.parse("ls")[1])
            self.assertIn(part, error.message)
            self.assertIn(path, error.message)
        error = self.assertRaises(ConfigError, cli._who, self.parse("ls --config=nowhere")[1])
        self.assertIn("nowhere", error.message)

    def test_usage(self) -> None:
        """Status 2, one sentence, and how the command is used."""
        for line, sentence, usage in [
            ("get", "pigpen: get: KEY is missing",
             "Usage: pigpen get [options] KEY [FILE] (try `pigpen get --help`)"),
            ("gte", "pigpen: there is no command 'gte'; did you mean get?",
             "Usage: pigpen COMMAND [options] ... (try `pigpen --help`)"),
            ("--get", "pigpen: get: KEY is missing",
             "Usage: pigpen get [options] KEY [FILE] (try `pigpen get --help`)"),
        ]:  # fmt: skip
            self.assertEqual(self.ended(line), (2, [sentence, usage]))

    def test_configuration(self) -> None:
        """What is wrong in a value needs no line about the usage."""
        status, said = self.ended("host x --port=x")
        self.assertEqual((status, len(said)), (2, 1), said)


class OperatorTests(CommandLineCase):
    def operator(self, line: str) -> command_options.OperatorOptions:
        found = command_options.CommandOptions()
        found.parseOptions(f"coordinator {self.home} {line}".split())
        assert isinstance(found.subOptions, command_options.OperatorOptions)
        return found.subOptions

    def test_tasks(self) -> None:
        """An operator makes accounts, replaces lost keys and changes quotas."""
        for line, task, quota in [
            ("", None, None),
            ("--make-account=ann", "make-account", None),
            ("--make-account=ann --quota=10G", "make-account", 10 * 2**30),
            ("--add-key=ann", "add-key", None),
            ("--set-quota=ann --quota=500M", "set-quota", 500 * 2**20),
            ("--set-quota=ann --quota=none", "set-quota", None),
            ("--suspend=ann", "suspend", None),
            ("--resume=ann", "resume", None),
        ]:
            found = self.operator(line)
            self.assertEqual((found.task, found.quota()), (task, quota), line)

    def test_misused(self) -> None:
        """What makes no sense together changes nothing."""
        for line in ("--make-account=a --add-key=a", "--quota=1G", "--add-key=a --quota=1G",
                     "--set-quota=a", "--set-quota=a --quota=much"):  # fmt: skip
            self.assertRaises(UsageError, self.operator, line)


class HelpTests(CommandLineCase):
    def test_begins(self) -> None:
        """The help begins with what to type."""
        found = command_options.CommandOptions()
        self.assertTrue(str(found).startswith("Usage: pigpen COMMAND [options] ...\n"), found)
        found.parseOptions(["put", "a"])
        inner = str(found.subOptions)
        self.assertTrue(inner.startswith("Usage: pigpen put [options] KEY [FILE]\n"), inner)


class StartTests(CommandLineCase):
    def test_imports_little(self) -> None:
        """put and get start without the modules of services, bars and metrics."""
        script = (
            "import sys\n"
            "from pigpen import cli\n"
            "from pigpen.client import commands, console, progress\n"
            "from pigpen.web.client import HttpClient\n"
            "names = {name.split('.')[0] for name in sys.modules} | set(sys.modules)\n"
            "print(names & {'rich', 'prometheus_client', 'lxml', 'sqlite3', 'httptools',"
            " 'pigpen.services', 'pigpen.host', 'pigpen.coordinator'})"
        )
        root = os.path.dirname(os.path.dirname(cli.__file__))
        command = [sys.executable, "-c", script]
        said = subprocess.run(command, env={"PYTHONPATH": root}, capture_output=True, text=True)
        self.assertEqual(said.stdout, "set()\n", said.stderr)


class ExposedKeyTests(CommandLineCase):
    def warnings(self, line: str, user: str = "") -> list[str]:
        self.write(".pigpen", user)
        stderr = io.StringIO()
        self.patch(sys, "stderr", stderr)
        cli._who(self.parse(line)[1])
        return stderr.getvalue().splitlines()

    def test_warned(self) -> None:
        """An access key that goes over the network in the clear is worth one line."""
        for line in ("get a -k K --coordinator=http://cloud.example:2573",
                     "ls -k K --coordinator=http://10.0.0.1"):  # fmt: skip
            [said] = self.warnings(line)
            self.assertIn("over plain http", said)
            self.assertNotIn("K ", said)
        [said] = self.warnings("ls", "accesskey: K\ncoordinator: http://cloud.example\n")
        self.assertTrue(said.startswith("pigpen: warning: "), said)

    def test_silent(self) -> None:
        """https, this machine, and a network that was said to be trusted."""
        for line, user in [
            ("ls -k K", ""),
            ("ls -k K --coordinator=http://[::1]:2573", ""),
            ("ls -k K --coordinator=http://localhost:2573", ""),
            ("ls -k K --coordinator=https://cloud.example", ""),
            ("ls -k K --coordinator=http://cloud.example --insecure", ""),
            ("ls", "accesskey: K\ncoordinator: http://cloud.example\ninsecure: true\n"),
        ]:
            self.assertEqual(self.warnings(line, user), [], line)


class LayersOfConfigTests(CommandLineCase):
    def test_order(self) -> None:
        """The command line wins over the file, the file over ~/.pigpen."""
        self.write(".pigpen", "accesskey: user\ncoordinator: http://user:1\n")
        path = self.write("p.yaml", "host: {folder: /file, port: 7, access_key: file, zone: z}\n")
        _, found = self.parse(f"host --config={path} --port=8")
        config = found.config
        self.assertEqual(
            (config.folder, config.port, config.access_key, config.zone, config.coordinator),
            ("/file", 8, "file", "z", "http://user:1"),
        )

    def test_flags(self) -> None:
        path = self.write("p.yaml", "coordinator: {folder: /c, allow_private: true}\n")
        _, found = self.parse(f"coordinator --config={path} --insecure")
        self.assertTrue(found.config.allow_private and found.config.insecure)

    def test_addresses(self) -> None:
        _, found = self.parse("host x --address=http://a:1 --address=http://b:2")
        self.assertEqual(found.config.addresses, ["http://a:1", "http://b:2"])


class EndingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.stderr = io.StringIO()
        self.patch(sys, "stderr", self.stderr)

    def judge(self, error: Exception, stopped: list[int] | None = None) -> tuple[int, str]:
        self.stderr.truncate(self.stderr.seek(0))
        status = cli.judge(Failure(error), [] if stopped is None else stopped)
        return status, self.stderr.getvalue()

    def test_statuses(self) -> None:
        for error, status in [
            (NotFound(), 1),
            (ConfigError(path="f", reason="r"), 2),
            (BadKey(reason="r"), 2),
            (OutcomeUnknown(reason="r"), 3),
            (ZeroDivisionError(), 1),
        ]:
            found, text = self.judge(error)
            self.assertEqual(found, status)
            self.assertEqual(text.count("\n"), 1)
            self.assertTrue(text.startswith("pigpen: "), text)

    def test_interrupted(self) -> None:
        """SIGHUP, Ctrl-C, SIGTERM: the status that shells give them and --help names."""
        for number, status in ((1, 129), (2, 130), (15, 143)):
            found = self.judge(CancelledError(), [number])
            self.assertEqual(found, (status, "pigpen: interrupted\n"))
            self.assertIn(str(status), command_options.STATUS_HELP)

    def test_pipe_closed(self) -> None:
        self.assertEqual(self.judge(BrokenPipeError()), (141, ""))

    def test_no_tricks(self) -> None:
        """What a server says cannot change a terminal."""
        complain("a\x1b[31m\x9bb\r\nc")
        self.assertEqual(self.stderr.getvalue(), "pigpen: a?[31m?b c\n")


class HideKeyTests(SynchronousTestCase):
    def test_hidden(self) -> None:
        """The list of processes shows that there is a key, not which."""
        for typed, shown in [
            ("--put a -k SECRET", "pigpen --put a -k ..."),
            ("put a -kSECRET", "pigpen put a -k..."),
            ("put a --access-key=SECRET b", "pigpen put a --access-key=... b"),
            ("put --access-key SECRET a", "pigpen put --access-key ... a"),
            ("put --acc SECRET a", "pigpen put --acc ... a"),
            ("--account -k SECRET", "pigpen --account -k ..."),
            ("put --a=SECRET a", "pigpen put --a=... a"),
            ("ls -lrk SECRET a", "pigpen ls -lrk ... a"),
            ("put -nkSECRET a", "pigpen put -nk... a"),
        ]:
            titles: list[str] = []
            hide_key(typed.split(), titles.append)
            self.assertEqual(titles, [shown])

    def test_nothing_to_hide(self) -> None:
        titles: list[str] = []
        hide_key(["put", "a"], titles.append)
        self.assertEqual(titles, [])
