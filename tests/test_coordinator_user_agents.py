"""Which clients may be redirected: pure, nothing to move."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from pigpen.coordinator.user_agents import may_redirect, never_redirect


class AgentTests(SynchronousTestCase):
    def test_who_forwards_keys(self) -> None:
        """A client that would show its access key to the host is not sent there."""
        for agent in ("Wget/1.21", "Java/17.0.1", "Python-urllib/3.11"):
            self.assertTrue(never_redirect(agent))
            self.assertFalse(may_redirect(agent, "a", "http://b"))
        for agent in ("curl/8.5.0", "python-requests/2.32", "", "Mozilla/5.0"):
            self.assertTrue(may_redirect(agent, "a", "http://b"))

    def test_same_name(self) -> None:
        """Go clients take another port, and a subdomain, for the same place."""
        go = "Go-http-client/1.1"
        self.assertFalse(may_redirect(go, "nas:2573", "http://nas:2575"))
        self.assertFalse(may_redirect(go, "a.example", "http://h.a.example:2575"))
        self.assertTrue(may_redirect(go, "a.example", "http://b.example:2575"))
        self.assertFalse(may_redirect(go, "[", "http://b.example"))
