"""Errors: each has a status, a code for programs, and a sentence that can be shown to people."""

from __future__ import annotations

import ast
import inspect
import string
from collections import defaultdict
from http import HTTPStatus
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from pigpen import errors
from pigpen.errors import PigpenError
from pigpen.http.answers import error_answer


def all_classes(root: type[PigpenError] = PigpenError) -> list[type[PigpenError]]:
    """The tree in errors.py; a class made elsewhere would be no part of the interface."""
    found = [root]
    for below in root.__subclasses__():
        if below.__module__ == errors.__name__:
            found += all_classes(below)
    return found


#: what the docstrings and `error_answer` ask for
FACTS = {
    "seconds": 2.5, "limit": 5, "length": 5, "received": 1, "expected": 2, "allow": "GET",
    "status": 404, "code": "x",
}  # fmt: skip


def fields_of(kind: type[PigpenError]) -> set[str]:
    text = kind.__doc__ or ""
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def make(kind: type[PigpenError]) -> PigpenError:
    names = fields_of(kind) | {"length"}
    return kind(**{name: FACTS.get(name, "THE-FACT") for name in names})


class ErrorTests(SynchronousTestCase):
    def test_messages(self) -> None:
        """Each message is one line with the facts in it, and ends as a sentence does."""
        for kind in all_classes():
            error = make(kind)
            self.assertNotRegex(error.message, r"[\n{}]|  ", kind)
            self.assertEqual(str(error), error.message)
            for name in fields_of(kind) - FACTS.keys():
                self.assertIn("THE-FACT", error.message, (kind, name))
            if kind is not errors.Refused:  # this one passes on another's message
                self.assertRegex(error.message, r"[.?)]$", kind)
                self.assertLess(len(error.message), 200, kind)

    def test_own_docstrings(self) -> None:
        """No class shows its parent's sentence by mistake."""
        for kind in all_classes():
            self.assertTrue(kind.__dict__.get("__doc__"), kind)

    def test_statuses(self) -> None:
        """Each status is a refusal or error that HTTP knows."""
        for kind in all_classes():
            self.assertGreaterEqual(HTTPStatus(kind.status), 400, kind)

    def test_parents(self) -> None:
        """A kind of a refusal has the refusal's status, so that handling the parent is enough."""
        for kind in all_classes():
            for parent in kind.__mro__[1:]:
                if issubclass(parent, PigpenError) and parent is not PigpenError:
                    if kind.status != parent.status:
                        self.assertIn(kind, STATUS_OF_ITS_OWN)

    def test_codes(self) -> None:
        """A code names one condition, so that programs can compare it; they are plain words."""
        by_code: defaultdict[str, list[type]] = defaultdict(list)
        for kind in all_classes():
            self.assertRegex(kind.code, r"^[a-z]+(-[a-z]+)*$", kind)
            by_code[kind.code].append(kind)
        shared = {code: kinds for code, kinds in by_code.items() if len(kinds) > 1}
        self.assertEqual(set(shared) - SHARED_CODES, set())

    def test_answers(self) -> None:
        """Each can be answered, and 503 says when to come back."""
        for kind in all_classes():
            answer = error_answer(make(kind))
            self.assertEqual(answer.status, kind.status)
            if kind.status == 503:
                self.assertIn("Retry-After", answer.headers, kind)

    def test_facts_are_given(self) -> None:
        """Wherever an error is made, the facts its message needs are given."""
        kinds = {kind.__name__: kind for kind in all_classes()}
        made = 0
        for path in sorted(Path(errors.__file__).parent.rglob("*.py")):
            tree = ast.parse(path.read_text())
            ours = {
                alias.name
                for node in ast.walk(tree)
                if isinstance(node, ast.ImportFrom) and node.module == "pigpen.errors"
                for alias in node.names
            }
            for node in ast.walk(tree):
                name = (
                    node.func.id
                    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
                    else None
                )
                if name in ours and name in kinds:
                    made += 1
                    given = {keyword.arg for keyword in node.keywords}
                    missing = fields_of(kinds[name]) - given if None not in given else set()
                    self.assertEqual(missing, set(), f"{path}:{node.lineno}")
        self.assertGreater(made, 20)

    def test_order(self) -> None:
        """Nothing but classes of the tree is in the module."""
        for name, value in vars(errors).items():
            if inspect.isclass(value) and value.__module__ == errors.__name__:
                self.assertTrue(issubclass(value, PigpenError), name)


#: classes whose status differs from their parent's on purpose
STATUS_OF_ITS_OWN = {errors.TimedOut}
#: codes that several classes have on purpose
SHARED_CODES: set[str] = set()
