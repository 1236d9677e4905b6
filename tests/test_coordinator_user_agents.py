"""Which clients may be redirected: pure, nothing to move."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from pigpen.coordinator.user_agents import may_redirect, never_redirect


class AgentTests(SynchronousTestCase):
    def test_who_forwards_keys(self) -> None:
        """A client that would show its access key to the host is not sent there."""
        for agent in ("Wget/1.21", "Java/17.0.1", "Python-urllib/3.11", "curl/7.29.0",
                      "node-fetch/1.0 (+https://github.com/bitinn/node-fetch)"):  # fmt: skip
            self.assertTrue(never_redirect(agent))
            self.assertFalse(may_redirect(agent, "a", "http://b"))
        for agent in ("curl/8.5.0", "python-requests/2.32", "", "Mozilla/5.0", "node", "curl/x"):
            self.assertTrue(may_redirect(agent, "nas:2573", "http://nas:2575"))

    def test_same_name(self) -> None:
        """Go clients take another port, and a subdomain, for the same place."""
        go = "Go-http-client/1.1"
        self.assertFalse(may_redirect(go, "nas:2573", "http://nas:2575"))
        self.assertFalse(may_redirect(go, "a.example", "http://h.a.example:2575"))
        self.assertTrue(may_redirect(go, "a.example", "http://b.example:2575"))
        self.assertFalse(may_redirect(go, "[", "http://b.example"))

    def test_others_of_the_same_name(self) -> None:
        """So do others, old ones among them: they get their bytes from us where a host has our
        name, as it has where one machine runs all."""
        for agent in ("node-fetch", "make-fetch-happen/15.0.6", "axios/1.7.2", "GuzzleHttp/7",
                      "PostmanRuntime/7.39.0", "curl/7.82.0", "curl/7.58.0",
                      "PycURL/7.43.0.6 libcurl/7.68.0 OpenSSL/1.1.1f"):  # fmt: skip
            self.assertFalse(may_redirect(agent, "nas:2573", "http://nas:2575"), agent)
            self.assertTrue(may_redirect(agent, "a.example", "http://b.example:2575"), agent)
        self.assertTrue(may_redirect("curl/7.83.0", "nas:2573", "http://nas:2575"))
