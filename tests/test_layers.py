"""The order of the house: who may import whom, what nobody but Env may call, and sizes.

Reads the source with `ast`; nothing is imported.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parent.parent
HOUSE = ROOT / "pigpen"

#: each group imports only groups to its left (design, section 3)
LAYERS = (
    {"errors", "env", "syncing", "threads", "system", "config"},
    {"http"},
    {"database"},
    {"stores", "web"},
    {"host", "coordinator", "client", "dav"},
    {"services", "gateway", "solo", "service_options", "command_options"},
    {"tap", "cli"},
)
#: they talk HTTP, so they never import each other
STRANGERS = {"host", "coordinator", "client"}
#: the only modules that touch the real world (`config` reads files before there is an Env)
OUTSIDE = {"syncing", "threads", "system", "tap", "cli"}
FORBIDDEN_MODULES = {"time", "random", "secrets", "uuid", "asyncio", "threading", "socket",
                     "subprocess", "tempfile", "shutil"}  # fmt: skip
#: types: `random.Random` is what Env hands out, a UUID can be made of its bytes
HARMLESS = {"random": {"Random"}, "uuid": {"UUID"}}
#: constants of a module that is forbidden otherwise
ALLOWED = {("pigpen.web.outlet", "socket")}
FORBIDDEN_CALLS = {"open", "print", "input", "exec", "eval", "breakpoint"}
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 45


class Module:
    """One source file: its dotted name, its top-level part, its tree."""

    def __init__(self, path: Path) -> None:
        self.path = path
        parts = path.relative_to(ROOT).with_suffix("").parts
        self.name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        self.part = parts[1] if len(parts) > 1 and parts[1] != "__init__" else ""
        self.text = path.read_text()
        self.tree = ast.parse(self.text)

    def imports(self, *, only_at_run_time: bool = False) -> Iterator[tuple[str, int]]:
        """Full names of what is imported, and the line."""
        skipped = set()
        if only_at_run_time:
            for node in ast.walk(self.tree):
                if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
                    skipped |= {id(inner) for inner in ast.walk(node)}
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    skipped |= {id(inner) for inner in ast.walk(node)}
        for node in ast.walk(self.tree):
            if id(node) in skipped:
                continue
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield alias.name, node.lineno
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.path}:{node.lineno}: relative import"
                for alias in node.names:
                    yield f"{node.module}.{alias.name}", node.lineno

    def parts_imported(self) -> Iterator[tuple[str, int]]:
        """The top-level parts of pigpen that are imported."""
        for name, line in self.imports():
            first, _, rest = name.partition(".")
            if first == "pigpen" and rest and not rest.startswith("_"):
                yield rest.partition(".")[0], line


@cache
def modules() -> tuple[Module, ...]:
    return tuple(Module(path) for path in sorted(HOUSE.rglob("*.py")))


def level(part: str) -> int | None:
    for number, group in enumerate(LAYERS):
        if part in group:
            return number
    return None


class LayerTests(SynchronousTestCase):
    def report(self, found: list[str]) -> None:
        self.assertEqual(found, [], "\n" + "\n".join(found))

    def test_known_parts(self) -> None:
        """Every part of the house has a place in the order."""
        parts = {module.part for module in modules()} - {"", "testing", "__main__"}
        self.assertEqual(parts - set().union(*LAYERS), set())

    def test_order(self) -> None:
        """A part imports only itself and groups to its left."""
        found = []
        for module in modules():
            mine = level(module.part)
            if mine is None:
                continue
            for part, line in module.parts_imported():
                theirs = level(part)
                if part == module.part or (theirs is not None and theirs < mine):
                    continue
                if theirs == mine and not {part, module.part} <= STRANGERS:
                    continue
                found.append(f"{module.path}:{line} imports {part}")
        self.report(found)

    def test_testing_is_outside(self) -> None:
        """Nothing that ships to run imports the test kit."""
        self.report(
            [
                f"{module.path}:{line}"
                for module in modules()
                if module.part != "testing"
                for part, line in module.parts_imported()
                if part == "testing"
            ]
        )

    def test_no_circles(self) -> None:
        """No module needs itself to be imported."""
        names = {module.name for module in modules()}
        needs = {
            module.name: {
                target
                for name, _ in module.imports(only_at_run_time=True)
                for target in (name, name.rpartition(".")[0])
                if target in names and target != module.name
            }
            for module in modules()
        }
        done: set[str] = set()

        def visit(name: str, path: tuple[str, ...]) -> None:
            self.assertNotIn(name, path, f"circle: {' > '.join((*path, name))}")
            if name not in done:
                for target in sorted(needs[name]):
                    visit(target, (*path, name))
                done.add(name)

        for name in sorted(needs):
            visit(name, ())


class OutsideTests(SynchronousTestCase):
    report = LayerTests.report

    def inner(self) -> Iterator[Module]:
        for module in modules():
            if module.part not in OUTSIDE | {"testing"}:
                yield module

    def test_modules(self) -> None:
        """Time, randomness, threads, processes and sockets come from Env alone."""
        found = []
        for module in self.inner():
            for name, line in module.imports(only_at_run_time=False):
                if (module.name, name) in ALLOWED:
                    continue
                if name.partition(".")[0] in FORBIDDEN_MODULES and not self.is_type(module, name):
                    found.append(f"{module.path}:{line} imports {name}")
        self.report(found)

    def is_type(self, module: Module, name: str) -> bool:
        """Whether only harmless names of a forbidden module are used."""
        first = name.partition(".")[0]
        harmless = HARMLESS.get(first, set())
        if name != first:
            return name.partition(".")[2] in harmless
        uses = {
            node.attr
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == first
        }
        made = {ast.unparse(node.func) for node in ast.walk(module.tree) if type(node) is ast.Call}
        return uses <= harmless and "random.Random" not in made

    def test_reactor(self) -> None:
        """Only tap and cli import a reactor, and only in a function."""
        found = []
        for module in modules():
            at_top = {line for _, line in module.imports(only_at_run_time=True)}
            for name, line in module.imports():
                if name in {"twisted.internet.reactor", "twisted.internet.task.react"}:
                    if module.part not in {"tap", "cli"} or line in at_top:
                        found.append(f"{module.path}:{line}")
        self.report(found)

    def test_calls(self) -> None:
        """No module but the outer ones opens files, prints or evaluates text."""
        found = []
        for module in self.inner():
            for node in ast.walk(module.tree):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    if node.func.id in FORBIDDEN_CALLS:
                        found.append(f"{module.path}:{node.lineno} calls {node.func.id}")
        self.report(found)

    def test_no_inline_callbacks(self) -> None:
        """One style of asynchronous code."""
        found = [
            f"{module.path}:{line}"
            for module in modules()
            for name, line in module.imports()
            if name.endswith("inlineCallbacks")
        ]
        self.report(found)


class ClockTests(SynchronousTestCase):
    def test_tests(self) -> None:
        """No test sleeps, or judges by the clock: what is waited for can be seen."""
        found = []
        for path in sorted((ROOT / "tests").rglob("*.py")):
            module = Module(path)
            if module.name in {"tests.functional.observing", __name__}:
                continue
            names = ((name.partition(".")[0], line) for name, line in module.imports())
            found += [f"{path}:{line}" for name, line in names if name == "time"]
            found += [
                f"{path}:{node.lineno}"
                for node in ast.walk(module.tree)
                if isinstance(node, ast.Constant) and node.value == "sleep"
            ]
        self.assertEqual(found, [])


class SizeTests(SynchronousTestCase):
    report = LayerTests.report

    def test_files(self) -> None:
        """No file has over 400 lines."""
        self.report(
            [
                f"{module.path}: {lines} lines"
                for module in modules()
                if (lines := module.text.count("\n")) > MAX_FILE_LINES
            ]
        )

    def test_functions(self) -> None:
        """No function has over 45 lines."""
        self.report(
            [
                f"{module.path}:{node.lineno} {node.name}: {lines} lines"
                for module in modules()
                for node in ast.walk(module.tree)
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                and (lines := (node.end_lineno or 0) - node.lineno + 1) > MAX_FUNCTION_LINES
            ]
        )
