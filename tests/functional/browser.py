"""Chromium without a window, driven by WebDriver (W3C) over HTTP: what the tests of the page need.

Chromedriver chooses its port and names it.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

CHROMEDRIVER = shutil.which("chromedriver")
CHROMIUM = shutil.which("chromium")
_QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--force-prefers-reduced-motion",
)  # fmt: skip
#: WebDriver's name for "this is an element" (13.1)
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
_DROP = """
const data = new DataTransfer();
for (const [name, text] of arguments[0]) data.items.add(new File([text], name));
for (const kind of ["dragenter", "dragover", "drop"]) {
  const facts = { dataTransfer: data, bubbles: true, cancelable: true };
  document.body.dispatchEvent(new DragEvent(kind, facts));
}
"""
KEYS = {"Enter": "\ue007", "Escape": "\ue00c", "Down": "\ue015", "Delete": "\ue017", "F2": "\ue032"}


class Browser:
    """One window. `close` it: that ends chromedriver and all that it started.

    ``downloads``: the folder for what is saved.
    """

    def __init__(
        self,
        downloads: Path,
        *,
        scripts: bool = True,
        size: tuple[int, int] = (1280, 800),
        dark: bool = False,
    ) -> None:
        assert CHROMEDRIVER is not None
        # Chromium has a socket there, whose path must be short
        self._home = tempfile.mkdtemp(prefix="pigpen-browser-")
        self._driver = subprocess.Popen(
            [CHROMEDRIVER, "--port=0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "HOME": self._home, "TMPDIR": self._home},
        )
        try:
            self._connection = http.client.HTTPConnection("127.0.0.1", self._port(), timeout=60)
            options = [*_QUIET, f"--user-data-dir={self._home}/profile"]
            options += [] if scripts else ["--blink-settings=scriptEnabled=false"]
            self._open(options, {"download.default_directory": str(downloads)})
            # a window with a frame is smaller within; this is the page itself, as on a phone too
            self.command("Emulation.setDeviceMetricsOverride", width=size[0], height=size[1],
                          deviceScaleFactor=1, mobile=False)  # fmt: skip
            scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
            self.command("Emulation.setEmulatedMedia", features=[scheme])
        except BaseException:
            self.close()
            raise

    def _port(self) -> int:
        assert self._driver.stdout is not None
        for line in self._driver.stdout:
            if found := re.search(rb"started successfully on port (\d+)", line):
                return int(found[1])
        raise AssertionError("chromedriver did not start")

    def _open(self, options: list[str], preferences: dict[str, str]) -> None:
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": CHROMIUM, "args": options, "prefs": preferences},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        self._session = ""
        opened = self._call("POST", "", capabilities={"alwaysMatch": wanted})
        self._session = "/" + opened["sessionId"]

    def _call(self, method: str, path: str, **arguments: object) -> Any:
        body = json.dumps(arguments) if method == "POST" else None
        self._connection.request(method, f"/session{self._session}{path}", body)
        value = json.loads(self._connection.getresponse().read())["value"]
        if isinstance(value, dict) and "error" in value:
            raise AssertionError(f"{value['error']}: {value['message']}")
        return value

    def command(self, name: str, **parameters: object) -> Any:
        """Of the Chrome DevTools Protocol."""
        return self._call("POST", "/goog/cdp/execute", cmd=name, params=parameters)

    # -- the page ---------------------------------------------------------------------------------

    def go(self, url: str) -> None:
        self._call("POST", "/url", url=url)

    @property
    def url(self) -> str:
        url: str = self._call("GET", "/url")
        return url

    def run(self, script: str, *arguments: object) -> Any:
        """The value that a function body returns; a promise is waited for."""
        return self._call("POST", "/execute/sync", script=script, args=list(arguments))

    def find(self, selector: str) -> str:
        """An element's id. :raises AssertionError: there is none."""
        using = {"using": "css selector", "value": selector}
        found: str = self._call("POST", "/element", **using)[_ELEMENT]
        return found

    def click(self, selector: str) -> None:
        """As a person does: it must be seen, and nothing lie above it."""
        while True:
            try:
                self._call("POST", f"/element/{self.find(selector)}/click")
            except AssertionError as error:
                if "stale element" not in str(error):  # a fresh listing took its place just now
                    raise
            else:
                return

    def type(self, text: str) -> None:
        """Press keys, one after the other, wherever the focus is."""
        actions = [{"type": kind, "value": key} for key in text for kind in ("keyDown", "keyUp")]
        self._call("POST", "/actions", actions=[{"type": "key", "id": "keys", "actions": actions}])

    def press(self, key: str) -> None:
        self.type(KEYS[key])

    def focus(self, selector: str) -> None:
        self.run("document.querySelector(arguments[0]).focus()", selector)

    def drop(self, *files: tuple[str, str]) -> None:
        """Drop files onto the page. :param files: names and what they hold."""
        self.run(_DROP, files)

    def drop_paths(self, *paths: Path) -> None:
        """Drop files and folders of the disk, as from a file manager."""
        data = {"items": [], "files": [str(path.resolve()) for path in paths]}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.command("Input.dispatchDragEvent", type=kind, x=200, y=300,
                         data={**data, "dragOperationsMask": 1})  # fmt: skip

    def choose(self, selector: str, *paths: Path) -> None:
        """Give a file chooser files."""
        text = "\n".join(str(path.resolve()) for path in paths)
        self._call("POST", f"/element/{self.find(selector)}/value", text=text)

    def text(self, selector: str) -> str:
        text: str = self.run("return document.querySelector(arguments[0]).textContent", selector)
        return text

    def texts(self, selector: str) -> list[str]:
        script = "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)"
        texts: list[str] = self.run(script, selector)
        return texts

    def log(self) -> list[str]:
        """What the page complained about since it was last asked: errors, violated policies."""
        return [line["message"] for line in self._call("POST", "/se/log", type="browser")]

    def addresses(self) -> set[str]:
        """All that was fetched since it was last asked, but by the browser's own pages."""
        lines = self._call("POST", "/se/log", type="performance")
        events = [json.loads(line["message"])["message"] for line in lines]
        return {
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
            and not event["params"]["documentURL"].startswith("chrome:")
        }

    def close(self) -> None:
        # by the group: Chromium has many processes, and a hung one would outlive the driver
        os.killpg(self._driver.pid, signal.SIGKILL)
        self._driver.wait()
        assert self._driver.stdout is not None
        self._driver.stdout.close()
        shutil.rmtree(self._home, ignore_errors=True)
