"""The page of the gateway in Chromium, as a person uses it (DAV-90 to DAV-93, DAV-118)."""

from __future__ import annotations

import struct
import wave
import zlib
from pathlib import Path

import requests
from twisted.trial.unittest import SkipTest

from tests.functional.browser import CHROMEDRIVER, CHROMIUM, Browser
from tests.functional.observing import until
from tests.functional.webdav import Face, WebDavCase, coordinator

NAMES = "tbody bdi"
LOCK = (
    '<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope>'
    "<locktype><write/></locktype></lockinfo>"
)


class BrowserCase(WebDavCase):
    """Has a browser that shows the test's own collection."""

    scripts = True
    size = (1280, 800)
    dark = False

    def setUp(self) -> None:
        if CHROMEDRIVER is None or CHROMIUM is None:
            raise SkipTest("chromium and chromium-driver are not installed")
        super().setUp()
        self.browser = Browser(self.folder, scripts=self.scripts, size=self.size, dark=self.dark)
        self.addCleanup(self.browser.close)

    def put(self, name: str, data: bytes = b"x", content_type: str = "") -> None:
        """What is there before the page is opened."""
        headers = {"Content-Type": content_type} if content_type else {}
        answer = requests.put(self.url + name, data, headers=headers, timeout=30)
        assert answer.status_code in {201, 204}, answer.text

    def make(self, name: str) -> None:
        assert requests.request("MKCOL", self.url + name, timeout=30).status_code == 201

    def status(self, name: str) -> int:
        return requests.head(self.url + name, timeout=30).status_code

    def open(self, query: str = "") -> None:
        self.browser.go(self.url + query)

    @property
    def names(self) -> list[str]:
        return self.browser.texts(NAMES)

    def when_listed(self, *names: str) -> None:
        until(lambda: self.names == list(names), f"{names}, not {self.names}")

    def when_uploaded(self, words: str) -> None:
        heading = "#uploads h2"
        until(lambda: self.browser.text(heading) == words, f"{words}: {self.browser.text(heading)}")

    def asked(self) -> str:
        """Waits for a question; its title."""
        until(
            lambda: self.browser.run("return document.querySelector('#question').open"),
            "a question",
        )
        return self.browser.text("#question h2")

    def answered(self) -> None:
        closed = "return !document.querySelector('#question').open"
        until(lambda: self.browser.run(closed), "the question to close")

    def link(self, name: str) -> str:
        """The selector of an entry's link."""
        at = self.names.index(name) + 1
        return f"tbody tr:nth-child({at}) a"


class ReadingTests(BrowserCase):
    """Without scripts the page reads, sorts and downloads."""

    scripts = False

    def test_reading(self) -> None:
        """Names lead on and back, columns sort, and a file that is no page is saved."""
        self.put("b.txt", b"what b holds", "text/plain")
        self.put("a.bin", bytes(5000))
        self.make("inner/")
        self.put("inner/deep.txt", b"deep")
        self.open()
        self.assertEqual(self.names, ["inner", "a.bin", "b.txt"])
        self.browser.click("thead .size a")
        self.assertEqual(self.names, ["inner", "a.bin", "b.txt"])
        self.browser.click("thead .size a")
        self.assertEqual(self.names, ["inner", "b.txt", "a.bin"])
        self.browser.click(self.link("inner"))
        self.assertEqual(self.names, ["deep.txt"])
        self.browser.click("a.up")
        self.browser.click(self.link("b.txt"))
        self.assertEqual(self.browser.text("body"), "what b holds")
        self.open()
        self.browser.click(self.link("a.bin"))
        saved = self.folder / "a.bin"
        until(lambda: saved.exists() and saved.stat().st_size == 5000, "the download")

    def test_nothing_pretends(self) -> None:
        """What needs scripts is not offered."""
        self.open()
        for selector in (".tools", "#uploads", "#question", "#menu", "#notice"):
            shown = f"return document.querySelector('{selector}').checkVisibility()"
            self.assertFalse(self.browser.run(shown), selector)


class UploadTests(BrowserCase):
    """By drop and by button, with progress, and nothing replaced unasked."""

    def test_drop(self) -> None:
        """Dropped files are stored and listed."""
        self.open()
        self.browser.drop(("b ü.txt", "first"), ("a#%.txt", "second"))
        self.when_uploaded("2 files uploaded")
        self.when_listed("a#%.txt", "b ü.txt")
        self.assertEqual(self.get("b%20%C3%BC.txt"), b"first")
        self.assertEqual(self.get("a%23%25.txt"), b"second")

    def test_taken_name(self) -> None:
        """A file that is there is replaced or kept, as the user says."""
        for name in ("a", "b", "c"):
            self.put(name, b"old")
        self.open()
        self.browser.drop(("a", "new"), ("b", "new"), ("c", "new"), ("d", "new"))
        first = self.asked()  # several are sent at once: any of them
        self.browser.click("#question .no")
        until(lambda: self.asked() != first, "the next question")
        self.browser.click("#question .always input")
        self.browser.click("#question .yes")
        self.when_uploaded("3 files uploaded")
        kept = [name for name in "abcd" if self.get(name) == b"old"]
        self.assertEqual([f"Replace “{name}”?" for name in kept], [first])
        self.assertEqual([self.get(name) for name in "abcd"].count(b"new"), 3)

    def test_escape_replaces_nothing(self) -> None:
        """Who waves the question away keeps what is there."""
        self.put("a", b"old")
        self.open()
        self.browser.drop(("a", "new"))
        self.asked()
        self.browser.press("Escape")
        self.when_uploaded("0 files uploaded")
        self.assertEqual(self.get("a"), b"old")

    def test_button(self) -> None:
        """Files from the chooser; a large one that is there is asked about before it is sent."""
        large = Path(self.file("large", bytes(3_000_000)))
        self.put("large", b"old")
        self.open()
        self.browser.choose("#files", large, Path(self.file("small", b"s")))
        self.assertEqual(self.asked(), "Replace “large”?")
        self.browser.click("#question .yes")
        self.when_uploaded("2 files uploaded")
        self.assertEqual(self.get("large"), bytes(3_000_000))

    def test_folder(self) -> None:
        """A folder comes with all below it; folders that are there already are used."""
        tree = self.folder / "tree"
        for name in ("a/b", "c"):
            (tree / name).mkdir(parents=True)
        for name in ("top", "a/one", "a/b/two", "c/three"):
            (tree / name).write_text(name)
        self.make("tree/")
        self.make("tree/a/")
        self.open()
        self.browser.choose("#folders", tree)
        self.when_uploaded("4 files uploaded")
        for name in ("top", "a/one", "a/b/two", "c/three"):
            self.assertEqual(self.get(f"tree/{name}"), name.encode())
        self.when_listed("tree")

    def test_dropped_folder(self) -> None:
        """A folder is dropped whole, however many files it has, and beside a file."""
        tree = self.folder / "tree"
        (tree / "inner" / "empty").mkdir(parents=True)
        for number in range(120):
            (tree / "inner" / f"{number}").write_text(f"{number}")
        self.open()
        self.browser.drop_paths(tree, Path(self.file("beside", b"b")))
        self.when_uploaded("121 files uploaded")
        self.when_listed("tree", "beside")
        self.assertEqual(self.get("tree/inner/119"), b"119")
        self.browser.click(self.link("tree"))
        self.browser.click(self.link("inner"))
        self.assertEqual(len(self.names), 121)

    def test_cancel(self) -> None:
        """A cancelled upload leaves nothing; the others go on."""
        slow = {
            "offline": False,
            "latency": 0,
            "downloadThroughput": -1,
            "uploadThroughput": 300_000,
        }
        self.browser.command("Network.enable")
        self.open()
        self.browser.command("Network.emulateNetworkConditions", **slow)
        self.browser.choose("#files", *(Path(self.file(n, bytes(2_000_000))) for n in "ab"))
        moved = "return (document.querySelector('#uploads li progress')?.value ?? 0) > 0"
        until(lambda: self.browser.run(moved), "progress")
        self.browser.click("#uploads li button")
        until(lambda: "Cancelled" in self.browser.texts("#uploads .words"), "the cancellation")
        self.browser.command("Network.emulateNetworkConditions", **{**slow, "uploadThroughput": -1})
        self.when_uploaded("1 file uploaded")
        self.when_listed("b")
        self.assertEqual(self.status("a"), 404)

    def test_cancel_all(self) -> None:
        """All at once, too, whether they have begun or not."""
        slow = {
            "offline": False,
            "latency": 0,
            "downloadThroughput": -1,
            "uploadThroughput": 200_000,
        }
        self.browser.command("Network.enable")
        self.open()
        self.browser.command("Network.emulateNetworkConditions", **slow)
        files = [Path(self.file(str(n), bytes(2_000_000))) for n in range(8)]
        self.browser.choose("#files", *files)
        until(lambda: "Uploading" in self.browser.text("#uploads h2"), "a beginning")
        self.browser.click("#uploads .stop")
        self.when_uploaded("0 files uploaded")
        self.assertEqual([self.status(str(n)) for n in range(8)], [404] * 8)

    def test_browsing_meanwhile(self) -> None:
        """Other folders can be looked at while files are sent."""
        slow = {
            "offline": False,
            "latency": 0,
            "downloadThroughput": -1,
            "uploadThroughput": 900_000,
        }
        self.make("inner/")
        self.put("inner/x")
        self.browser.command("Network.enable")
        self.open()
        self.browser.command("Network.emulateNetworkConditions", **slow)
        self.browser.choose("#files", Path(self.file("f", bytes(2_000_000))))
        until(lambda: "Uploading" in self.browser.text("#uploads h2"), "a beginning")
        self.browser.click(self.link("inner"))
        self.when_listed("x")
        self.assertEqual(self.browser.url, self.url + "inner/")
        self.when_uploaded("1 file uploaded")
        self.assertEqual(self.names, ["x"])
        self.browser.click("a.up")
        self.when_listed("inner", "f")


class ChangeTests(BrowserCase):
    """New folder, rename, delete, by mouse and by keys."""

    def test_new_folder(self) -> None:
        """It is made, listed and ready to be opened; a taken name is said in words."""
        self.make("taken/")
        self.open()
        self.browser.click("#new-folder-button")
        self.browser.type("taken")
        self.browser.press("Enter")
        until(lambda: self.browser.text("#question-refusal"), "a refusal")
        self.assertEqual(
            self.browser.text("#question-refusal"), "There is already something with this name."
        )
        self.browser.type(" 2 ü?")
        self.browser.press("Enter")
        self.when_listed("taken", "taken 2 ü?")
        self.browser.press("Enter")  # its row has the focus
        until(lambda: self.browser.text("h1") == "taken 2 ü?", "the new folder")
        self.assertEqual(self.status("taken%202%20%C3%BC%3F/"), 200)

    def test_names_that_cannot_be(self) -> None:
        """They are refused before anything is sent, where they would mean another place."""
        self.put("a", b"x")
        self.open()
        for name, words in [
            ("..", "Choose another name."),
            ("x/y", "A name cannot have a slash."),
            ("", "Type a name."),
            ("ü" * 128, "This name is too long."),
        ]:
            self.browser.focus(self.link("a"))
            self.browser.press("F2")
            self.asked()
            self.browser.run("document.querySelector('#question input').value = arguments[0]", name)
            self.browser.press("Enter")
            until(lambda words=words: self.browser.text("#question-refusal") == words, words)  # type: ignore[misc]
            self.browser.press("Escape")
            self.answered()
        self.assertEqual(self.get("a"), b"x")

    def test_rename(self) -> None:
        """The menu renames, folders too; what has the name already is kept."""
        self.make("old/")
        self.put("old/x", b"inside")
        self.put("a.txt", b"a")
        self.put("b.txt", b"b")
        self.open()
        self.browser.click("tbody tr:nth-child(2) button.more")
        self.browser.click("#menu button.item")
        self.assertEqual(self.asked(), "Rename")
        self.browser.type("b")  # the stem is selected
        self.browser.press("Enter")
        until(lambda: self.browser.text("#question-refusal"), "a refusal")
        self.browser.type("%20 c")
        self.browser.press("Enter")
        self.when_listed("old", "b%20 c.txt", "b.txt")
        self.assertEqual(self.get("b%2520%20c.txt"), b"a")
        self.assertEqual(self.get("b.txt"), b"b")
        self.browser.focus(self.link("old"))
        self.browser.press("F2")
        self.asked()
        self.browser.type("new")
        self.browser.press("Enter")
        self.when_listed("new", "b%20 c.txt", "b.txt")
        self.assertEqual(self.get("new/x"), b"inside")

    def test_delete(self) -> None:
        """Only after it was confirmed; then the focus is where one goes on."""
        self.put("a")
        self.make("folder/")
        self.put("folder/x")
        self.open()
        self.browser.focus(self.link("folder"))
        self.browser.press("Delete")
        self.assertEqual(self.asked(), "Delete “folder”?")
        self.browser.press("Enter")  # Cancel has the focus
        self.answered()
        self.assertEqual(self.status("folder/x"), 200)
        self.browser.press("Delete")
        self.asked()
        self.browser.click("#question .yes")
        self.when_listed("a")
        self.assertEqual(self.status("folder/"), 404)
        focused = "return document.activeElement.textContent"
        until(lambda: self.browser.run(focused) == "a", "the focus on the next row")

    def test_locked(self) -> None:
        """A lock of another program is named, on a member of a folder, too."""
        self.make("folder/")
        self.put("folder/report.doc")
        answer = requests.request("LOCK", self.url + "folder/report.doc", data=LOCK, timeout=30)
        self.assertEqual(answer.status_code, 200)
        self.open()
        self.browser.focus(self.link("folder"))
        self.browser.press("Delete")
        self.asked()
        self.browser.click("#question .yes")
        until(lambda: self.browser.text("#question-refusal"), "a refusal")
        self.assertEqual(
            self.browser.text("#question-refusal"),
            "“report.doc”: It is locked: another program is using it.",
        )

    def test_gone(self) -> None:
        """What somebody else deleted meanwhile is said in words."""
        self.put("a")
        self.open()
        requests.delete(self.url + "a", timeout=30)
        self.browser.focus(self.link("a"))
        self.browser.press("F2")
        self.asked()
        self.browser.type("b")
        self.browser.press("Enter")
        until(lambda: self.browser.text("#question-refusal"), "a refusal")
        self.assertEqual(self.browser.text("#question-refusal"), "It is not there any more.")

    def test_menu_keys(self) -> None:
        """The menu works by keys alone."""
        self.put("a")
        self.open()
        self.browser.focus("button.more")
        self.browser.press("Enter")
        focused = "return document.activeElement.textContent"
        until(lambda: self.browser.run(focused) == "Download", "the menu")
        self.browser.press("Down")
        self.assertEqual(self.browser.run(focused), "Rename")
        self.browser.press("Escape")
        label = "return document.activeElement.getAttribute('aria-label')"
        until(lambda: self.browser.run(label) == "Actions for a", "the button")


class PreviewTests(BrowserCase):
    """What the browser can show is shown within the page."""

    def show(self, name: str) -> None:
        self.open()
        self.browser.click(self.link(name))
        self.assertEqual(self.browser.text("#preview h2"), name)

    def test_text(self) -> None:
        """The first 64 KiB, as text, whatever the type; without half a character at the end."""
        self.put("page.html", b"<script>document.title = 'no'</script>" + "ü".encode() * 50_000)
        self.show("page.html")
        until(lambda: "64 KiB" in self.browser.text(".note"), "the text")
        text = self.browser.text("#preview pre")
        self.assertTrue(text.startswith("<script>"))
        self.assertEqual(len(text.encode()), 65536)
        self.assertNotIn("\ufffd", text)
        self.browser.press("Escape")
        label = "return document.activeElement.textContent"
        until(lambda: self.browser.run(label) == "page.html", "the focus on its row")

    def test_empty_text(self) -> None:
        """An empty file is no error."""
        self.put("a.txt", b"")
        self.show("a.txt")
        self.assertEqual(self.browser.text(".note"), "This file is empty.")

    def test_pictures(self) -> None:
        """Pictures, one after the other."""
        self.put("1.png", png(7, 5))
        self.put("2.svg", b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
        self.put("3.png", b"this is no picture")
        self.show("1.png")
        width = "return document.querySelector('#preview img')?.naturalWidth"
        until(lambda: self.browser.run(width) == 7, "the picture")
        self.browser.click("#preview .next")
        until(lambda: self.browser.run(width) == 9, "the drawing")
        self.browser.click("#preview .next")
        until(lambda: self.browser.texts("#preview .instead p"), "the words instead")
        self.assertFalse(
            self.browser.run("return document.querySelector('#preview .next').matches(':enabled')")
        )

    def test_sound(self) -> None:
        """Sound is played by parts, and stops when it is closed."""
        path = self.folder / "a.wav"
        with wave.open(str(path), "wb") as sound:
            sound.setparams((1, 2, 8000, 0, "NONE", ""))
            sound.writeframes(bytes(16_000 * 60))
        self.put("a.wav", path.read_bytes())
        self.show("a.wav")
        script = "return document.querySelector('#preview audio')?.duration"
        until(lambda: self.browser.run(script) == 60, "the sound")
        self.browser.run("document.querySelector('#preview audio').currentTime = 55")
        script = "return document.querySelector('#preview audio').currentTime >= 55"
        until(lambda: self.browser.run(script), "the end of it")
        self.browser.click("#preview .close")
        until(lambda: not self.browser.texts("#preview audio"), "the end")

    def test_pdf(self) -> None:
        """A PDF is shown where the browser can, else offered."""
        self.put("a.pdf", b"%PDF-1.4\n%%EOF")
        self.show("a.pdf")
        shown = "return document.querySelectorAll('#preview iframe, #preview .instead').length"
        self.assertEqual(self.browser.run(shown), 1)


class SafetyTests(BrowserCase):
    """Nothing stored can run in the page, or fetch anything."""

    def test_hostile_names(self) -> None:
        """A name is text, in every place where it is shown."""
        names = ["<img src=x onerror=document.title='no'>", "javascript:document.title='no'",
                 "\"><svg onload=document.title='no'>", "\u202egpj.exe"]  # fmt: skip
        self.open()
        self.browser.drop(*((name, "x") for name in names))
        self.when_uploaded("4 files uploaded")
        until(lambda: len(self.names) == 4, "the files")
        for number in range(1, 5):
            self.browser.click(f"tbody tr:nth-child({number}) button.more")
            self.browser.press("Down")
            self.browser.press("Enter")
            self.asked()
            self.browser.press("Escape")
            self.answered()
        self.assertEqual(self.browser.run("return document.title"), f"{self.folder_name} · pigpen")
        self.assertEqual(self.broken_policies(), [])

    @property
    def folder_name(self) -> str:
        return self.url.rstrip("/").rpartition("/")[2]

    def broken_policies(self) -> list[str]:
        return [line for line in self.browser.log() if "Failed to load resource" not in line]

    def test_stored_programs(self) -> None:
        """A page or drawing that somebody stored is saved when it is opened, and does not run."""
        program = b"<script xmlns='http://www.w3.org/1999/xhtml'>document.title = 'no'</script>"
        self.put("a.html", program, "text/html")
        self.put("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'>%b</svg>" % program)
        self.open()
        for name in ("a.html", "a.svg"):
            self.browser.go(self.url + name)
            until(lambda name=name: (self.folder / name).exists(), "the download")  # type: ignore[misc]
        self.assertEqual(self.browser.run("return document.title"), f"{self.folder_name} · pigpen")

    def test_own_requests_only(self) -> None:
        """A whole visit asks this server alone, and breaks no policy."""
        self.put("a.txt", b"text")
        self.put("b.png", png(3, 3))
        self.open()
        self.browser.drop(("c", "x"))
        self.when_listed("a.txt", "b.png", "c")
        for name in ("a.txt", "b.png"):
            self.browser.click(self.link(name))
            self.browser.click("#preview .close")
        addresses = {one for one in self.browser.addresses() if not one.startswith("data:")}
        self.assertIn(self.url + "b.png", addresses)
        self.assertEqual({one for one in addresses if not one.startswith(self.url)}, set())
        self.assertEqual(self.browser.log(), [])


class PhoneTests(BrowserCase):
    """A narrow, dark screen."""

    size = (390, 844)
    dark = True

    def test_fits(self) -> None:
        """Nothing is cut or needs sideways scrolling, and what is touched is large enough."""
        self.make("x" * 200 + "/")
        self.put("a rather long name of a file that goes on and on.txt", b"text " * 100)
        self.open()
        self.browser.drop(("dropped " * 10, "x"))
        self.when_uploaded("1 file uploaded")
        until(lambda: len(self.names) == 3, "the files")
        wide = "return document.documentElement.scrollWidth"
        self.assertLessEqual(self.browser.run(wide), 390)
        self.browser.click("#uploads .stop")
        buttons = "[...document.querySelectorAll('.tools button, td button')]"
        heights = self.browser.run(f"return {buttons}.map((button) => button.offsetHeight)")
        self.assertGreaterEqual(min(heights), 40)
        dark = "return getComputedStyle(document.body).backgroundColor"
        self.assertEqual(self.browser.run(dark), "rgb(24, 22, 26)")
        self.browser.click("tbody tr:nth-child(1) button.more")
        self.browser.click("#menu .danger")
        self.asked()
        self.assertLessEqual(self.browser.run(wide), 390)
        self.browser.click("#question .no")
        self.browser.click("tbody tr:nth-child(1) a")
        until(lambda: self.browser.text("h1") == "x" * 200, "the folder")
        self.assertLessEqual(self.browser.run(wide), 390)


class LoginTests(BrowserCase):
    """The coordinator's own face: below a prefix, behind a login."""

    def make_face(self) -> Face:
        return coordinator()

    def test_changes(self) -> None:
        """Whoever logged in to see the page can change what it shows."""
        assert self.face.login is not None
        login, access_key = self.face.login
        self.browser.go(self.url.replace("://", f"://{login}:{access_key}@"))
        self.browser.drop(("a", "x"))
        self.when_uploaded("1 file uploaded")
        self.when_listed("a")
        self.browser.focus(self.link("a"))
        self.browser.press("F2")
        self.asked()
        self.browser.type("b")
        self.browser.press("Enter")
        self.when_listed("b")
        self.assertEqual(self.get("b"), b"x")


def png(width: int, height: int) -> bytes:
    """A grey picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    lines = b"".join(b"\0" + b"\x80" * width for _ in range(height))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )
