"""`twistd pigpen SERVICE`: the same options, and a service for each."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from twisted.application.service import IService
from twisted.internet.task import Clock
from twisted.logger import LogEvent, capturedLogs, formatEvent, globalLogPublisher
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import IResource

import pigpen
from pigpen import services, solo, tap
from pigpen.config import UserConfig
from pigpen.errors import ConfigError, NotFound
from pigpen.testing.env import SimEnv
from tests.home_kit import HomeCase


class TapTests(HomeCase):
    def setUp(self) -> None:
        super().setUp()
        self.env = SimEnv()
        self.fatal: list[Exception] = []
        self.said: list[str] = []

    def make(self, line: str) -> object:
        options = tap.Options()
        options.parseOptions(line.split())
        return tap.make(self.env, options.subOptions, self.fatal.append, self.said.append)

    def test_services(self) -> None:
        for line, kind in [
            ("host x -k K --target-size=1G", services.HostService),
            ("coordinator x", services.RedirectService),
            ("runserver -k K", services.WebDAVService),
            ("solo x", solo.SoloService),
        ]:
            made = self.make(line)
            self.assertIsInstance(made, kind)
            self.assertTrue(IService.providedBy(made))

    def test_none_given(self) -> None:
        error = self.assertRaises(UsageError, self.make, "")
        self.assertIn("say which service", str(error))

    def test_unknown(self) -> None:
        self.assertRaises(UsageError, self.make, "frob")

    def test_gateway_needs_key(self) -> None:
        error = self.assertRaises(ConfigError, self.make, "runserver")
        self.assertIn("accesskey: KEY", error.message)

    def test_gateway_options(self) -> None:
        """Each option of the gateway reaches its configuration."""
        options = tap.Options()
        line = (
            "runserver -k K -p 1 --alias=a.example --alias=b.example:9 --proxy=10.0.0.1 --prefix=/x"
            " --redirect --infinity --users=/u"
        )
        options.parseOptions(line.split())
        config = options.subOptions.config
        self.assertEqual(config.aliases, ["a.example", "b.example:9"])
        self.assertEqual(config.proxies, ["10.0.0.1"])
        self.assertEqual((config.prefix, config.users), ("/x", "/u"))
        self.assertEqual((config.redirect, config.infinity, config.insecure), (True, True, False))

    def test_proxies(self) -> None:
        """Every service can be told which servers stand in front; what is no address is refused."""
        for line in ("coordinator x", "host x -k K", "runserver -k K"):
            options = tap.Options()
            options.parseOptions([*line.split(), "--proxy=10.0.0.1", "--proxy", "::1"])
            self.assertEqual(options.subOptions.config.proxies, ["10.0.0.1", "::1"], line)
            error = self.assertRaises(ConfigError, self.make, f"{line} --proxy=cloud.example")
            self.assertIn("'cloud.example'", error.message)

    def test_not_for_all_to_read(self) -> None:
        """Plain HTTP where others can listen in is refused, and said how to do better."""
        for line in ("coordinator x -i 0.0.0.0", "host x -k K -i ::", "host x -k K -i 10.0.0.1"):
            error = self.assertRaises(ConfigError, self.make, line)
            self.assertIn("--certificate", error.message)
        self.make("coordinator x -i 0.0.0.0 --insecure")

    def test_tls_by_halves(self) -> None:
        error = self.assertRaises(ConfigError, self.make, "coordinator x --certificate=c.pem")
        self.assertIn("--private-key", error.message)

    def test_spelled(self) -> None:
        """What we tell people to type can be typed: `pigpen`, or the path that was typed."""
        folder = os.path.join(self.mktemp(), "a bin")
        os.makedirs(folder)
        path = os.path.join(folder, "pigpen")
        with open(path, "w") as file:
            file.write("#!/bin/sh\n")
        os.chmod(path, 0o700)
        for paths, started, typed in [
            ("/nowhere", path, f"'{path}'"),
            ("/nowhere", os.path.join(folder, "twistd"), f"'{path}'"),
            (folder, path, "pigpen"),
            ("/nowhere", "-c", "pigpen"),
            ("/nowhere", "/elsewhere/twistd", "pigpen"),
        ]:
            os.environ["PATH"] = paths
            self.assertEqual(tap.spelled(started), typed)

    def test_exposed_key(self) -> None:
        """A service that shows its access key to the network says so in its log."""
        said: list[str] = []

        def observe(event: LogEvent) -> None:
            said.append(str(formatEvent(event)))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        for line in ("host x -k K", "runserver -k K"):
            self.make(f"{line} --coordinator=http://cloud.example")
        self.assertEqual(["plain http" in one for one in said], [True, True])
        self.make("host x -k K --coordinator=http://cloud.example --insecure")
        self.make("host x -k K --coordinator=https://cloud.example")
        self.assertEqual(len(said), 2)

    def test_last_words(self) -> None:
        """A process that cannot start says one line, without a traceback."""
        written: list[str] = []
        self.patch(sys, "stderr", type("Stderr", (), {"write": written.append}))
        tap._say(NotFound, NotFound(), None)
        self.assertEqual(written, [f"pigpen: {NotFound().message}\n"])


class FakeReactor(Clock):
    """As much of a reactor as embedding touches."""

    def __init__(self) -> None:
        super().__init__()
        self.triggers: list[tuple[str, str, Any]] = []

    def addSystemEventTrigger(self, *trigger: Any) -> None:
        self.triggers.append(trigger)


class ResourceTests(HomeCase):
    def setUp(self) -> None:
        super().setUp()
        self.reactor = FakeReactor()

    def test_of_user(self) -> None:
        """A program mounts its user's cloud in one line."""
        self.write(".pigpen", "accesskey: K\n")
        self.assertTrue(IResource.providedBy(pigpen.resource(self.reactor)))

    def test_configured(self) -> None:
        path = self.write("other.yaml", "accesskey: K\n")
        for config in (path, UserConfig(accesskey="K")):
            self.assertTrue(IResource.providedBy(pigpen.resource(self.reactor, config)))

    def test_no_key(self) -> None:
        """Without an access key it says where one belongs, when the site is built."""
        error = self.assertRaises(ConfigError, pigpen.resource, self.reactor)
        self.assertIn(".pigpen: no access key", error.message)
        self.assertRaises(ConfigError, pigpen.resource, self.reactor, "/nowhere.yaml")

    def test_exposed(self) -> None:
        """A coordinator whose bytes and key others could read: the site's log says so, once."""
        config = UserConfig(accesskey="K", coordinator="http://192.0.2.1:2573")
        with capturedLogs() as events:
            pigpen.resource(self.reactor, config)
        [event] = events
        self.assertEqual((event["log_namespace"], event["log_level"].name), ("pigpen.tap", "warn"))
        self.assertIn("192.0.2.1", formatEvent(event))

    def test_good_guest(self) -> None:
        """The program's own timers stay right, and the connections end with it."""
        seconds = self.reactor.seconds
        pigpen.resource(self.reactor, UserConfig(accesskey="K"))
        self.assertEqual(self.reactor.seconds, seconds)
        [(phase, event, close)] = self.reactor.triggers
        self.assertEqual((phase, event), ("before", "shutdown"))
        self.successResultOf(close())

    def test_imports_little(self) -> None:
        """``import pigpen`` alone loads nothing."""
        script = "import sys, pigpen; sys.exit('twisted' in sys.modules)"
        root = os.path.dirname(os.path.dirname(pigpen.__file__))
        done = subprocess.run([sys.executable, "-c", script], env={"PYTHONPATH": root})
        self.assertEqual(done.returncode, 0)
        self.assertRaises(AttributeError, getattr, pigpen, "nothing")


class EndingTests(SynchronousTestCase):
    def test_once(self) -> None:
        """Two parts that cannot start for one reason: one line, one stop."""
        written: list[str] = []
        exits: list[object] = []
        self.patch(sys, "__stderr__", type("Stderr", (), {"write": written.append}))
        self.patch(tap, "atexit", type("Exit", (), {"register": lambda *what: exits.append(what)}))
        reactor = StoppingReactor()
        ending = tap.Ending(reactor)
        ending(NotFound())
        ending(NotFound())
        self.assertEqual((reactor.stops, len(written), len(exits)), (1, 1, 1))


class StoppingReactor:
    running = True
    stops = 0

    def callWhenRunning(self, function: Any) -> None:
        function()

    def stop(self) -> None:
        self.stops += 1
