"""Addresses of databases: what of them may be seen."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from pigpen.database.postgresql.address import has_password, is_address, without_password

SECRET = (
    "postgresql://me:hush@db.example:5432/pigpen?sslmode=require",
    "postgresql://me:hush?hush#hush:@db.example:5432/pigpen",
    "postgresql://me:hush%2Fhush@db.example:5432/pigpen",
    "postgresql://me:hush/hush@db.example:5432/pigpen",
    "postgresql://me:hu/sh@hush/h@db.example:5432/pigpen",
    "postgresql://db.example:5432/pigpen?user=me&password=hush@hush",
    "postgresql://db.example:5432/pigpen?user=me&passwor%64=hush",
    "postgresql://db.example:5432/pigpen?sslpassword=hush",
)


class AddressTests(SynchronousTestCase):
    def test_secrets(self) -> None:
        """A password is not shown and is found out, also one that should have been encoded."""
        for address in SECRET:
            self.assertEqual(without_password(address), "postgresql://db.example:5432/pigpen")
            self.assertTrue(has_password(address), address)

    def test_without(self) -> None:
        """Addresses of all kinds, and what is none."""
        for address, shown in (
            ("postgresql://me@db/pigpen?sslmode=require", "postgresql://db/pigpen"),
            ("postgresql://me@/pigpen?host=/run", "postgresql:///pigpen"),
            ("postgres://a:1,b:2/pigpen", "postgres://a:1,b:2/pigpen"),
            ("postgresql://[::1]:5432/x", "postgresql://[::1]:5432/x"),
            ("postgresql://[::1/x", "postgresql://[::1/x"),
            ("postgresql://", "postgresql://"),
        ):
            self.assertEqual(without_password(address), shown)
            self.assertFalse(has_password(address), address)
            self.assertTrue(is_address(address))
        for path in ("", "catalog.sqlite", "/a/b:c@d", "./postgresql:x"):
            self.assertFalse(is_address(path))
            self.assertFalse(has_password(path))
