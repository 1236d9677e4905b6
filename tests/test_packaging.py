"""What people install and type is what this tree says: the packages, the drop-in, the README."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import pigpen

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def tracked() -> list[str]:
    """The files git knows; without git all files that are no by-product."""
    if (ROOT / ".git").exists() and shutil.which("git"):
        command = ["git", "-c", "safe.directory=*", "-C", str(ROOT), "ls-files"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split(
            "\n"
        )
    return [str(path.relative_to(ROOT)) for path in (ROOT / "pigpen").rglob("*.py")]


class DropInTests(SynchronousTestCase):
    """`twistd pigpen` works, and every other use of Twisted stays as it was."""

    def test_no_package_hides_twisted(self) -> None:
        """Installing pigpen neither hides Twisted nor overwrites a file of it."""
        assert sorted(path.name for path in (ROOT / "twisted").iterdir() if path.is_file()) == []
        files = {path.name for path in (ROOT / "twisted/plugins").glob("*.py")}
        assert files == {"pigpen_plugin.py"}

    def test_imports_little(self) -> None:
        """Every twistd imports the drop-in: it loads nothing of pigpen before it is asked for."""
        tree = ast.parse((ROOT / "twisted/plugins/pigpen_plugin.py").read_text())
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        assert [ast.unparse(node) for node in imports] == [
            "from twisted.application.service import ServiceMaker"
        ]

    def test_is_found(self) -> None:
        """`twistd` lists pigpen, and its module can be loaded."""
        from twisted.application.service import IServiceMaker
        from twisted.plugin import getPlugins

        makers = {maker.tapname: maker for maker in getPlugins(IServiceMaker)}
        assert makers["pigpen"].module == "pigpen.tap"
        assert (ROOT / "pigpen/tap.py").exists()

    def test_no_cache_is_tracked(self) -> None:
        """A list of plugins of another machine never reaches a user."""
        assert not [name for name in tracked() if name.endswith("dropin.cache")]


class PackageTests(SynchronousTestCase):
    """Wheel and sdist have all they need, and nothing of ours alone."""

    def test_packages(self) -> None:
        """Every folder of code is a package, so that the wheel has it."""
        folders = {path.parent for path in (ROOT / "pigpen").rglob("*.py")}
        assert {path.parent for path in (ROOT / "pigpen").rglob("__init__.py")} == folders

    def test_data(self) -> None:
        """The schema and the mark of typed code are installed with the code."""
        patterns = PYPROJECT["tool"]["setuptools"]["package-data"]["pigpen"]
        named = {path for pattern in patterns for path in (ROOT / "pigpen").glob(pattern)}
        data = {path for path in (ROOT / "pigpen").rglob("*") if _is_data(path)}
        assert data <= named, f"not in package-data: {data - named}"
        assert ROOT / "pigpen/py.typed" in named

    def test_sdist(self) -> None:
        """Who builds from the sdist gets configuration, documentation and tests too."""
        manifest = (ROOT / "MANIFEST.in").read_text()
        for folder in ("docs", "etc", "tests", "benchmarks", "twisted"):
            assert f"graft {folder}\n" in manifest
            assert (ROOT / folder).is_dir()
        for name in re.findall(r"^include (.*)$", manifest, re.MULTILINE)[0].split():
            assert (ROOT / name).is_file(), name

    def test_version(self) -> None:
        """There is one version, in the package."""
        assert PYPROJECT["tool"]["setuptools"]["dynamic"]["version"]["attr"] == "pigpen.__version__"
        assert re.fullmatch(r"\d+\.\d+\.\d+", pigpen.__version__)

    def test_changelog(self) -> None:
        """What changed is told: for this version, or under "Unreleased"."""
        text = (ROOT / "CHANGELOG.md").read_text()
        assert "## Unreleased" in text or f"## {pigpen.__version__}" in text

    def test_console_script(self) -> None:
        """The program `pigpen` has a function behind it."""
        module, name = PYPROJECT["project"]["scripts"]["pigpen"].split(":")
        tree = ast.parse((ROOT / (module.replace(".", "/") + ".py")).read_text())
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}

    def test_dependencies(self) -> None:
        """What pigpen imports is installed with it, and nothing else is."""
        imported = {name.partition(".")[0] for name in _imports(ROOT / "pigpen")}
        project = PYPROJECT["project"]
        wanted = project["dependencies"] + project["optional-dependencies"]["postgresql"]
        named = {_module(re.split(r"[\[><=~; ]", line)[0]) for line in wanted}
        foreign = imported - set(sys.stdlib_module_names) - {"pigpen"}
        # Twisted loads service-identity itself, to check the names in certificates
        assert named - {"service_identity"} <= foreign, f"unused: {named - foreign}"
        # zope.interface is a part of Twisted's own interface, cryptography of pyOpenSSL's
        assert foreign - {"zope", "cryptography"} <= named, f"not named: {foreign - named}"


class ProgramTests(SynchronousTestCase):
    """What the README and the Makefile tell people to type exists."""

    def test_make_targets(self) -> None:
        """Each `make TARGET` of the documents is a target."""
        targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
            used = set(re.findall(r"^ *\$? *make ([a-z-]+)", path.read_text(), re.MULTILINE))
            assert used <= targets, f"{path.name}: {used - targets}"

    def test_replayed_not_run(self) -> None:
        """Nobody is told that macOS and Windows were tried (DAV-120)."""
        text = " ".join((ROOT / "docs" / "webdav.md").read_text().split())
        self.assertIn("macOS and Windows were not run against this release", text)

    def test_run_comes_first(self) -> None:
        """The README's first command starts everything."""
        first = re.search(r"^(?:    |```.*\n)(?:\$ )?(\S.*)$", README, re.MULTILINE)
        assert first is not None
        assert first.group(1) == "make run"

    def test_commands(self) -> None:
        """Each `pigpen COMMAND` of the README is one the program knows."""
        from pigpen.command_options import CommandOptions

        known = {row[0] for row in CommandOptions.subCommands}
        used = set(re.findall(r"(?:^ {4}(?:\$ )?|\| )pigpen ([a-z]+)\b", README, re.MULTILINE))
        assert used, "no example?"
        assert used <= known

    def test_links(self) -> None:
        """No link from one document to another leads nowhere."""
        for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
            for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text()):
                assert (path.parent / target).exists(), f"{path.name} links to {target}"

    def test_scripts(self) -> None:
        """Python's and bash's own parsers accept what nobody imports."""
        assert os.access(ROOT / ".ci/run", os.X_OK)
        subprocess.run(["bash", "-n", str(ROOT / ".ci/run")], check=True)
        for path in (ROOT / "etc").glob("*.tac"):
            ast.parse(path.read_text())

    def test_units(self) -> None:
        """There is a systemd unit for each service, and it starts a program that exists."""
        units = {path.stem.removeprefix("pigpen-"): path for path in _units()}
        assert {"coordinator", "host"} <= set(units)
        for path in units.values():
            assert re.search(r"^ExecStart=\S*(twistd|pigpen) ", path.read_text(), re.MULTILINE)


README = (ROOT / "README.md").read_text() if (ROOT / "README.md").exists() else ""


def _module(distribution: str) -> str:
    known = {"pyyaml": "yaml", "pyopenssl": "OpenSSL"}
    return known.get(distribution, distribution.replace("-", "_"))


def _units() -> list[Path]:
    return sorted((ROOT / "etc/systemd").glob("*.service"))


def _is_data(path: Path) -> bool:
    return path.is_file() and path.suffix not in {".py", ".pyc", ".pyi"}


def _imports(folder: Path) -> set[str]:
    found: set[str] = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module)
    return found
