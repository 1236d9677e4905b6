"""Random calls: every namespace does what the model does (DAV-8, 29, 41, 42, 47, 52)."""

# mypy: allow-untyped-calls
from __future__ import annotations

import random
from collections.abc import Callable, Coroutine
from typing import Any

from pigpen.errors import PigpenError
from pigpen.http.key import Key
from pigpen.http.namespace import Ability, LockWish, Property, Want
from pigpen.testing.namespace_case import NamespaceCase
from pigpen.testing.namespace_model import HeldLock, Model, Path, Refusal

NAMES = ("a", "b", "c")


class RandomTests(NamespaceCase):
    """Same calls, same refusals, same tree."""

    #: how many calls one run has
    calls = 80

    def test_random_calls_1(self) -> None:
        """Files and folders."""
        self.run_calls(1, locks=False)

    def test_random_calls_2(self) -> None:
        """With locks, and tokens that are sent or forgotten."""
        self.run_calls(2, locks=True)

    def test_random_calls_3(self) -> None:
        self.run_calls(3, locks=True)

    def run_calls(self, seed: int, *, locks: bool) -> None:
        self.need(Ability.PROPERTIES, Ability.SUBTREE, Ability.LOCKS)
        source = random.Random(seed)  # noqa: S311
        self.source, self.model = source, Model()
        acts = [self.any_put, self.any_mkcol, self.any_move] * 2
        acts += [self.any_delete, self.any_patch, self.any_copy]
        if locks:
            acts += [self.any_take, self.any_take, self.any_end]
        for number in range(self.calls):
            act = source.choice(acts)
            note = f"call {number}: {act()}"
            self.compare(note)

    def compare(self, note: str) -> None:
        found = {
            node.key.names: (
                node.key.collection,
                {one.name: one.value for one in node.properties or ()},
                {lock.token for lock in node.locks or ()},
                node.length,
            )
            for node in self.nodes("/", deep=True, want=Want(properties=True, locks=True))
        }
        expected = {
            path: (item.data is None, item.properties, self.model.tokens_of(path),
                   len(item.data or b""))
            for path, item in self.model.items.items()
            if path
        }  # fmt: skip
        self.assertEqual(found, expected, note)
        files = [path for path, item in self.model.items.items() if item.data is not None]
        if files:
            path = self.source.choice(files)
            self.assertEqual(self.read("/".join(path)), self.model.items[path].data, note)

    # -- acts -------------------------------------------------------------------------------------

    def both(self, work: Coroutine[Any, Any, Any], of_model: Callable[[], None], text: str) -> Any:
        """Let both do it; they must agree. :return: what the namespace gave."""
        expected = 0
        try:
            of_model()
        except Refusal as refusal:
            expected = refusal.status
        result = self.outcome(self.start(work))
        status = result.status if isinstance(result, PigpenError) else 0
        self.assertEqual(status, expected, f"{text}: {result!r}")
        return result

    def path(self) -> Path:
        """One that is there, or one beside or below it."""
        path = self.source.choice(list(self.model.items))
        kind = self.source.random()
        if kind < 0.5 and len(path) < 4:
            return (*path, self.source.choice(NAMES))
        return path if kind < 0.95 else (*path[:1], "none", self.source.choice(NAMES))

    def tokens(self) -> tuple[set[str], dict[str, Any]]:
        """Some of those that are held, and the terms that submit them."""
        held = [lock.token for lock in self.model.locks]
        count = self.source.choice((0, len(held), len(held), len(held) // 2))
        tokens = set(self.source.sample(held, count))
        if not tokens:
            return tokens, {}
        lists = " ".join(f"(<{token}>)" for token in sorted(tokens))
        return tokens, {"If": f"(Not <DAV:no-lock>) {lists}"}

    def any_put(self) -> str:
        path, (tokens, terms) = self.path(), self.tokens()
        data = b"%d" % self.source.randrange(10**6)
        key = "/".join(path) or "/"
        text = f"put {path}"
        self.both(
            self.writing(key, data, **terms), lambda: self.model.put(path, data, tokens), text
        )
        return text

    def any_mkcol(self) -> str:
        path, (tokens, terms) = self.path(), self.tokens()
        text = f"mkcol {path}"
        self.both(self.making(_text(path), **terms), lambda: self.model.mkcol(path, tokens), text)
        return text

    def any_delete(self) -> str:
        path, (tokens, terms) = self.path(), self.tokens()
        if self.source.random() < 0.4:  # else little is ever there
            path = ("none",)
        text = f"delete {path}"
        self.both(
            self.deleting(_text(path), **terms), lambda: self.model.delete(path, tokens), text
        )
        return text

    def any_patch(self) -> str:
        path, (tokens, terms) = self.path(), self.tokens()
        name = self.source.choice(NAMES)
        value = f'<{name} xmlns="n:">{self.source.randrange(100)}</{name}>'
        text = f"patch {path}"
        self.both(
            self.patching(_text(path), Property("n:", name, value), **terms),
            lambda: self.model.patch(path, name, value, tokens),
            text,
        )
        return text

    def any_copy(self) -> str:
        source, target, (tokens, terms) = self.path(), self.path(), self.tokens()
        deep, overwrite = self.source.random() < 0.8, self.source.random() < 0.7
        text = f"copy {source} {target} {deep=} {overwrite=}"
        if len(self.model.items) > 60:  # copies of copies of copies
            return "nothing"
        self.both(
            self.copying(_text(source), _text(target), deep=deep, overwrite=overwrite, **terms),
            lambda: self.model.copy(source, target, deep, overwrite, tokens),
            text,
        )
        return text

    def any_move(self) -> str:
        source, target, (tokens, terms) = self.path(), self.path(), self.tokens()
        overwrite = self.source.random() < 0.7
        text = f"move {source} {target} {overwrite=}"
        self.both(
            self.moving(_text(source), _text(target), overwrite=overwrite, **terms),
            lambda: self.model.move(source, target, overwrite, tokens),
            text,
        )
        return text

    def any_take(self) -> str:
        path, (tokens, terms) = self.path(), self.tokens()
        exclusive, infinite = self.source.random() < 0.4, self.source.random() < 0.5
        text = f"lock {path} {exclusive=} {infinite=}"
        taken = self.both(
            self.locking(_text(path), LockWish(exclusive, infinite, seconds=3600), **terms),
            lambda: self.model.check_lock(path, exclusive, infinite, tokens),
            text,
        )
        if isinstance(taken, tuple):
            self.model.add_lock(HeldLock(taken[0].token, path, exclusive, infinite))
        return text

    def any_end(self) -> str:
        path = self.path()
        if not self.model.locks:
            return "nothing"
        lock = self.source.choice(self.model.locks)
        if self.source.random() < 0.6:
            path = lock.path
        text = f"unlock {path}"
        unlocking = self.namespace.unlock(Key.from_text(_text(path)), lock.token, self.when())
        self.both(unlocking, lambda: self.model.unlock(path, lock.token), text)
        return text


def _text(path: Path) -> str:
    return "/".join(path) or "/"
