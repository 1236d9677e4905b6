"""~/.pigpen and service configuration: what is wrong is named, with the file and what to do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from pigpen import config
from pigpen.errors import ConfigError
from pigpen.system import SystemDisk

#: text, shape, and what the sentence must hold
WRONG: list[tuple[str, Any, list[str]]] = [
    ("acesskey: k", config.UserConfig, ["f.yaml", "'acesskey'", "did you mean 'accesskey'"]),
    ("zzzzzz: k", config.UserConfig, ["'zzzzzz'", "known here: accesskey, coordinator"]),
    ("accesskey: [1]", config.UserConfig, ["accesskey", "str"]),
    ("accesskey: 5", config.UserConfig, ["accesskey", "int"]),
    ("accesskey: a\naccesskey: b", config.UserConfig, ["line 2", "twice"]),
    ("just words", config.UserConfig, ["names and values", "accesskey"]),
    ("- a", config.UserConfig, ["names and values"]),
    ("a: [", config.UserConfig, ["line"]),
    ("accesskey: !!python/object/apply:os.system [id]", config.UserConfig, ["line 1", "python"]),
    ("accesskey: &a x\nlogin: *a", config.UserConfig, ["line 2", "aliases"]),
    ("accesskey: " + "[" * 5000, config.UserConfig, ["nested"]),
    ("accesskey: 2020-99-99", config.UserConfig, ["month"]),
    ("accesskey: " + "9" * 5000, config.UserConfig, ["digits"]),
    ("accesskey: \x00", config.UserConfig, ["f.yaml"]),
    ("a" * 70_000, config.UserConfig, ["larger than 65536"]),
    ("host: {target_sise: 1}", config.ServiceConfig, ["'host.target_sise'", "target_size"]),
    ("host: 3", config.ServiceConfig, ["host.", "names and values"]),
    ("host: {target_size: lots}", config.ServiceConfig, ["host.target_size", "10G"]),
    ("host: {port: '2575'}", config.ServiceConfig, ["host.port", "int"]),
    ("hosts: {}", config.ServiceConfig, ["did you mean 'host'"]),
]


def bomb(levels: int = 30) -> str:
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, levels)]
    return "\n".join(lines)


class ParseTests(SynchronousTestCase):
    def test_wrong(self) -> None:
        """Whatever is wrong in a file, one sentence names the file, the place and what to do."""
        for text, shape, parts in WRONG:
            error = self.assertRaises(ConfigError, config.parse, text, shape, "f.yaml")
            for part in parts:
                self.assertIn(part, error.message, text[:60])
            self.assertNotIn("\n", error.message)

    def test_bomb(self) -> None:
        """A few lines that would fill all memory are refused at once."""
        error = self.assertRaises(ConfigError, config.parse, bomb(), config.ServiceConfig, "f.yaml")
        self.assertIn("aliases", error.message)

    def test_seed(self) -> None:
        """``echo "accesskey: MY_ACCESS_KEY" > ~/.pigpen`` is all that is needed."""
        found = config.parse("accesskey: MY_ACCESS_KEY\n", config.UserConfig, "f")
        self.assertEqual(found.accesskey, "MY_ACCESS_KEY")
        self.assertEqual(found.coordinator, "http://127.0.0.1:2573")

    def test_empty(self) -> None:
        self.assertEqual(config.parse("# nothing\n", config.UserConfig, "f"), config.UserConfig())

    def test_sections(self) -> None:
        """A service's file holds sizes as people write them."""
        found = config.parse(
            "host: {folder: /srv, target_size: 1.5G, floor: 500}", config.ServiceConfig, "f"
        )
        self.assertEqual(found.host.target_size, 3 * 2**29)
        self.assertEqual(found.host.floor, 500)
        self.assertEqual(found.host.port, 2575)

    def test_sample(self) -> None:
        """The sample that is shipped is valid as it stands, and with every line switched on."""
        path = Path(__file__).parent.parent / "etc" / "pigpen.yaml"
        text = path.read_text()
        config.parse(text, config.ServiceConfig, str(path))
        on = [line.replace("#", "", 1) if line.startswith("  #") else line
              for line in text.splitlines()]  # fmt: skip
        everything = config.parse("\n".join(on), config.ServiceConfig, str(path))
        self.assertEqual(everything.host.zone, "attic")


class UnitTests(SynchronousTestCase):
    def test_sizes(self) -> None:
        for text, size in [("10G", 10 * 2**30), ("500m", 500 * 2**20), ("1.5K", 1536), ("7", 7),
                           ("2 GiB", 2**31), ("3MB", 3 * 2**20), ("0", 0)]:  # fmt: skip
            self.assertEqual(config.parse_size(text), size, text)

    def test_no_sizes(self) -> None:
        for text in ["", "G", "-1", "10X", "1_0", "١", "1e9", "10GG", "9999999P", "1.5.5G"]:
            error = self.assertRaises(ValueError, config.parse_size, text)
            self.assertTrue("10G" in str(error) or "too large" in str(error), text)

    def test_sizes_for_people(self) -> None:
        """Whatever the size, it is short to read."""
        for size, text in [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (2**20 - 1, "1.0 MiB"),
                           (2**62, "4096.0 PiB")]:  # fmt: skip
            self.assertEqual(config.format_size(size), text)

    def test_durations(self) -> None:
        for text, seconds in [("30s", 30), ("5m", 300), ("4h", 14_400), ("7d", 604_800),
                              ("250ms", 0.25), ("2", 2)]:  # fmt: skip
            self.assertEqual(config.parse_duration(text), seconds, text)
        for text in ["", "s", "-1s", "1w", "1:30"]:
            self.assertRaises(ValueError, config.parse_duration, text)


class FileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = self.mktemp()
        os.mkdir(self.folder)
        self.path = os.path.join(self.folder, "pigpen")
        self.disk = SystemDisk(None)  # type: ignore[arg-type]

    def write(self, text: str, mode: int = 0o600) -> None:
        Path(self.path).write_text(text)
        os.chmod(self.path, mode)

    def test_missing(self) -> None:
        """Nobody needs a file; without one the local cloud is asked."""
        self.assertEqual(config.load_user(self.disk, self.path, {}), (config.UserConfig(), []))

    def test_private(self) -> None:
        self.write("accesskey: k")
        self.assertEqual(config.load_user(self.disk, self.path, {})[1], [])

    def test_others_read(self) -> None:
        """A key that others can read still works, with a warning that says how to mend it."""
        self.write("accesskey: k", 0o644)
        found, warnings = config.load_user(self.disk, self.path, {})
        self.assertEqual(found.accesskey, "k")
        self.assertIn(f"chmod 600 {self.path}", warnings[0])

    def test_link(self) -> None:
        """People who keep their settings elsewhere get a warning, not a refusal."""
        self.write("accesskey: k")
        link = os.path.join(self.folder, "link")
        os.symlink(os.path.abspath(self.path), link)
        found, warnings = config.load_user(self.disk, link, {})
        self.assertEqual(found.accesskey, "k")
        self.assertIn("symbolic link", warnings[0])

    def test_not_text(self) -> None:
        Path(self.path).write_bytes(b"\xff\xfe")
        error = self.assertRaises(ConfigError, config.load_user, self.disk, self.path, {})
        self.assertIn("UTF-8", error.message)

    def test_folder(self) -> None:
        error = self.assertRaises(ConfigError, config.load_user, self.disk, self.folder, {})
        self.assertIn(self.folder, error.message)

    def test_large(self) -> None:
        self.write("#" * 70_000)
        error = self.assertRaises(ConfigError, config.load_user, self.disk, self.path, {})
        self.assertIn("larger", error.message)

    def test_service_secret(self) -> None:
        """A service does not start with an access key that others can read."""
        self.write("host: {folder: /srv, access_key: pp_x}", 0o644)
        error = self.assertRaises(ConfigError, config.load_service, self.disk, self.path, {})
        self.assertIn("chmod 600", error.message)
        os.chmod(self.path, 0o640)  # root's file, read by the service's group
        config.load_service(self.disk, self.path, {})

    def test_service_without_secret(self) -> None:
        """A file without secrets may be read by all."""
        self.write("host: {folder: /srv, access_key: '${env:KEY}'}", 0o644)
        found = config.load_service(self.disk, self.path, {"KEY": "pp_y"})
        self.assertEqual(found.host.access_key, "pp_y")

    def test_referenced_secret(self) -> None:
        """Nor with one that lies in a file of its own, which others can read; a command warns."""
        secret = os.path.realpath(os.path.join(self.folder, "secret"))
        for name, kind in (("host", "access_key"), ("coordinator", "catalog")):
            self.write(f"{name}: {{folder: /srv, {kind}: '${{file:{secret}}}'}}", 0o644)
            Path(secret).write_text("pp_z")
            os.chmod(secret, 0o644)
            error = self.assertRaises(ConfigError, config.load_service, self.disk, self.path, {})
            self.assertIn(f"chmod 600 {secret}", error.message)
            os.chmod(secret, 0o640)
            config.load_service(self.disk, self.path, {})
        os.chmod(secret, 0o644)
        self.write(f"accesskey: ${{file:{secret}}}")
        found, warnings = config.load_user(self.disk, self.path, {})
        self.assertEqual(found.accesskey, "pp_z")
        self.assertIn(f"chmod 600 {secret}", warnings[0])
        # what is no secret may be read by all
        self.write(f"accesskey: pp_z\nlogin: ${{file:{secret}}}")
        self.assertEqual(config.load_user(self.disk, self.path, {})[1], [])

    def test_password_of_a_database(self) -> None:
        """So is the password of a catalog; an address without one is no secret."""
        for address, secret in (
            ("postgresql://u:p@db/x", True),
            ("postgresql://db/x?password=p", True),
            ("postgresql://u@db:5432/x", False),
            ("/srv/catalog.sqlite", False),
        ):
            self.write(f"coordinator: {{catalog: '{address}'}}", 0o644)
            if secret:
                error = self.assertRaises(
                    ConfigError, config.load_service, self.disk, self.path, {}
                )
                self.assertIn("chmod 600", error.message)
            else:
                config.load_service(self.disk, self.path, {})

    def test_references(self) -> None:
        """A secret may lie in a file or the environment; a missing one is named."""
        secret = os.path.join(self.folder, "secret")
        Path(secret).write_text("pp_z\n")
        os.chmod(secret, 0o600)
        self.write(f"accesskey: ${{file:{secret}}}")
        self.assertEqual(config.load_user(self.disk, self.path, {})[0].accesskey, "pp_z")
        self.write("accesskey: ${env:NOWHERE}")
        error = self.assertRaises(ConfigError, config.load_user, self.disk, self.path, {})
        self.assertIn("NOWHERE", error.message)
