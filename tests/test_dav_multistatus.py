"""The XML of answers: well-formed whatever it is about, and small."""

from __future__ import annotations

from lxml import etree
from twisted.trial.unittest import SynchronousTestCase

from pigpen.dav.multistatus import (
    MULTISTATUS,
    MULTISTATUS_END,
    Refusal,
    active_lock,
    error_answer,
    escape,
    lock_answer,
    name_element,
    propstat,
    refusals_answer,
)
from pigpen.http.body import BytesBody
from pigpen.http.key import Key
from pigpen.http.message import Headers, Response
from pigpen.http.namespace import Lock
from tests.hypothesis_kit import given, st

LOCK = Lock(
    "urn:uuid:1", Key(("a",), True), True, True, "me", '<x xmlns="u">&lt;</x>', 1_000_600_000
)


def text_of(response: Response) -> str:
    assert isinstance(response.body, BytesBody)
    return response.body.data.decode()


class AnswerTests(SynchronousTestCase):
    def test_error(self) -> None:
        """A refusal names the condition and what stands in the way (RFC 4918 16)."""
        answer = error_answer(423, "lock-token-submitted", ["/a&b/"], Headers({"X": "y"}))
        self.assertEqual(answer.status, 423)
        self.assertEqual(
            text_of(answer),
            '<?xml version="1.0" encoding="utf-8"?>\n<D:error xmlns:D="DAV:">'
            "<D:lock-token-submitted><D:href>/a&amp;b/</D:href></D:lock-token-submitted>"
            "</D:error>",
        )
        self.assertEqual(answer.headers["Content-Type"], 'application/xml; charset="utf-8"')
        self.assertEqual(answer.headers["X"], "y")
        self.assertIn(
            "<D:propfind-finite-depth/>", text_of(error_answer(403, "propfind-finite-depth"))
        )

    def test_refusals(self) -> None:
        """A request that members prevent names each with its reason."""
        answer = refusals_answer(
            [Refusal("/a/b", 423, "lock-token-submitted"), Refusal("/a/", 424)]
        )
        self.assertEqual(answer.status, 207)
        self.assertEqual(
            text_of(answer),
            '<?xml version="1.0" encoding="utf-8"?>\n<D:multistatus xmlns:D="DAV:">'
            "<D:response><D:href>/a/b</D:href><D:status>HTTP/1.1 423 Locked</D:status>"
            "<D:error><D:lock-token-submitted/></D:error></D:response>"
            "<D:response><D:href>/a/</D:href><D:status>HTTP/1.1 424 Failed Dependency</D:status>"
            "</D:response></D:multistatus>",
        )

    def test_lock(self) -> None:
        """LOCK tells all about the lock: the owner as sent, and the time that is left."""
        answer = lock_answer(201, LOCK, "/dav/a/", 1_000_000.4)
        self.assertEqual(answer.status, 201)
        self.assertEqual(
            text_of(answer),
            '<?xml version="1.0" encoding="utf-8"?>\n<D:prop xmlns:D="DAV:"><D:lockdiscovery>'
            "<D:activelock><D:locktype><D:write/></D:locktype><D:lockscope><D:exclusive/>"
            '</D:lockscope><D:depth>infinity</D:depth><x xmlns="u">&lt;</x>'
            "<D:timeout>Second-600</D:timeout>"
            "<D:locktoken><D:href>urn:uuid:1</D:href></D:locktoken>"
            "<D:lockroot><D:href>/dav/a/</D:href></D:lockroot></D:activelock>"
            "</D:lockdiscovery></D:prop>",
        )

    def test_ended_lock(self) -> None:
        """A lock that ends while it is told of has no negative time."""
        self.assertIn("Second-0<", active_lock(LOCK, "/a/", 1_000_700.0))


class EscapeTests(SynchronousTestCase):
    @given(st.text())
    def test_any_text(self, text: str) -> None:
        """Any text keeps an answer well-formed and is read back, but for what XML cannot say."""
        parsed = etree.fromstring(f"<a>{escape(text)}</a>".encode())
        kept = "".join(
            c for c in text
            if c in "\t\n\r" or "\x20" <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff"
        )  # fmt: skip
        self.assertEqual(parsed.text or "", kept)

    @given(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
           | st.sampled_from("\"'<&>\n\t\r")))  # fmt: skip
    def test_any_namespace(self, namespace: str) -> None:
        """A name in any namespace that was asked for comes back as it was."""
        stat = propstat(404, name_element(namespace, "n"))
        parser = etree.XMLParser(recover=True)  # a namespace need be no URI
        root = etree.fromstring((MULTISTATUS + stat + MULTISTATUS_END).encode(), parser)
        element = root[0][0][0]
        self.assertEqual(element.nsmap.get(element.prefix, ""), namespace)
