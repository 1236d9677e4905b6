"""How browsers present stored files: no clock, nothing to flush."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from pigpen.dav.presentation import kind_of, presentation_headers


class PresentationTests(SynchronousTestCase):
    """DAV-93."""

    def test_shown(self) -> None:
        """Pictures, sound, video, plain text and PDF open in the browser, as what they are."""
        for content_type in (
            "image/png",
            "IMAGE/JPEG",
            "audio/mpeg",
            "video/mp4",
            "text/plain; charset=utf-8",
            "application/pdf",
        ):
            headers = dict(presentation_headers(content_type, "x"))
            expected = {
                "X-Content-Type-Options": "nosniff",
                "Cross-Origin-Resource-Policy": "same-origin",
            }
            self.assertEqual(headers, expected, content_type)

    def test_saved(self) -> None:
        """What could run a program is saved, and has no rights where it is shown after all."""
        for content_type in (
            "",
            "text/html",
            "image/svg+xml",
            "Image/SVG+XML;charset=utf-8",
            "application/xhtml+xml",
            "text/xml",
            "text/javascript",
            "application/octet-stream",
            "text/plain2",
            "pdf",
            "image/png, text/html",
            "image/png,text/html;charset=utf-8",
            "image/png; x=1, text/html",
            'image/png; x=", text/html"',
            "image/png text/html",
            "image/",
            "image/png/text/html",
            "image/<png>",
        ):
            headers = presentation_headers(content_type, "x")
            self.assertEqual(headers["Content-Disposition"], 'attachment; filename="x"')
            self.assertEqual(headers["Content-Security-Policy"], "sandbox")
            self.assertEqual(headers["X-Content-Type-Options"], "nosniff")

    def test_names(self) -> None:
        """A file is saved under its own name, whatever characters that has (RFC 6266)."""
        for name, value in [
            ("a b.zip", 'filename="a b.zip"'),
            ("it's;x=1", 'filename="it\'s;x=1"'),
            ('a"b\\c', "filename=\"a_b_c\"; filename*=UTF-8''a%22b%5Cc"),
            ("100%25", "filename=\"100_25\"; filename*=UTF-8''100%2525"),
            ("ü€🐷", "filename=\"___\"; filename*=UTF-8''%C3%BC%E2%82%AC%F0%9F%90%B7"),
            ("x\u202egpj", "filename=\"x_gpj\"; filename*=UTF-8''x%E2%80%AEgpj"),
        ]:
            field = presentation_headers("text/html", name)["Content-Disposition"]
            self.assertEqual(field, f"attachment; {value}")
            self.assertTrue(field.isascii() and field.isprintable())


class KindTests(SynchronousTestCase):
    def test_kinds(self) -> None:
        """The page can preview what the type says; by the name where the type says nothing."""
        for content_type, name, kind in [
            ("image/svg+xml", "a.svg", "image"),
            ("audio/ogg", "a", "audio"),
            ("video/webm", "a", "video"),
            ("application/pdf", "a", "pdf"),
            ("text/html", "a.html", "text"),
            ("application/ld+json", "a", "text"),
            ("application/zip", "notes.txt", ""),
            ("application/octet-stream", "a.PNG", "image"),
            ("", "README.md", "text"),
            ("", "png", ""),
            ("", ".profile", ""),
        ]:
            self.assertEqual(kind_of(content_type, name), kind, (content_type, name))
