"""Rows: a mapping in few bytes; it answers as a dict does."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pigpen.host.rows import KEY_BYTES, Rows

#: keys of two buckets only, so that many share one
KEYS = st.builds(
    lambda first, last: bytes([first]) * (KEY_BYTES - 1) + bytes([last]),
    st.sampled_from([0, 255]),
    st.integers(0, 5),
)
DATA = st.one_of(st.binary(max_size=40), st.just(b"\0" * 70_000), KEYS.map(lambda key: key * 3))
STEPS = st.lists(st.tuples(st.sampled_from(["add", "pop", "get"]), KEYS, DATA), max_size=60)


class RowsTests(SynchronousTestCase):
    @settings(deadline=None)
    @given(STEPS)
    def test_as_a_dict(self, steps: list[tuple[str, bytes, bytes]]) -> None:
        """Whatever came and went, what is there is found, whole, and nothing else is: not even a
        key among another row's bytes."""
        rows, model = Rows(), dict[bytes, bytes]()
        for step, key, data in steps:
            if step == "pop":
                self.assertEqual(rows.pop(key), model.pop(key, None))
            elif step == "add" and key not in model:
                rows.add(key, data)
                model[key] = data
            self.assertEqual(rows.get(key), model.get(key))
        self.assertEqual((len(rows), sorted(rows)), (len(model), sorted(model)))
        self.assertEqual({key: rows.get(key) for key in rows}, model)

    def test_two_rows_of_one_bucket(self) -> None:
        """One that holds another's key as data hides nothing."""
        rows = Rows()
        one, other = b"\1" * KEY_BYTES, b"\1" * (KEY_BYTES - 1) + b"\2"
        rows.add(one, other)
        self.assertIsNone(rows.get(other))
        self.assertIsNone(rows.pop(other))
        rows.add(other, b"data")
        self.assertEqual((rows.pop(other), rows.pop(one), len(rows)), (b"data", other, 0))
