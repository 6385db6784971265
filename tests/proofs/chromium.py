"""A headless Chromium that tests can steer: its debugging protocol over a pipe, and nothing else."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PATH = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
DESKTOP = {"width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": False}


class Page:
    """One tab. `complaints` are what the page has written to the console, or thrown."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers, self._rest, self._number = commands, answers, b"", 0
        self._session: str | None = None
        self.complaints: list[str] = []
        self._events: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Runtime", "Log", "Page"):
            self._call(f"{domain}.enable")

    def open(self, file: Path, screen: dict[str, Any] = DESKTOP, dark: bool = False) -> None:
        """Loads a file and waits until it is all there."""
        self._call("Emulation.setDeviceMetricsOverride", **screen)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._call("Emulation.setEmulatedMedia", features=scheme)
        self._events.clear()
        self._call("Page.navigate", url=file.as_uri())
        while "Page.loadEventFired" not in self._events:
            self._take()

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression; a promise is waited for."""
        found = self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key=key, text=key if kind == "keyDown" and len(key) == 1 else "")

    def saves_to(self, folder: Path) -> None:
        """Where files go that a page offers."""
        self._call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))

    def picture(self, file: Path) -> Path:
        """A screenshot of what is on the screen."""
        file.write_bytes(base64.b64decode(self._call("Page.captureScreenshot")["data"]))
        return file

    def _call(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        session = {"sessionId": self._session} if self._session else {}
        sent = {"id": self._number, "method": method, "params": parameters} | session
        os.write(self._commands, json.dumps(sent).encode() + b"\0")
        while (answer := self._take()).get("id") != self._number:
            pass
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def _take(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            piece = os.read(self._answers, 1 << 16)
            assert piece, "the browser has ended"
            self._rest += piece
        one, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(one)
        if method := message.get("method"):
            self._events.append(method)
            if method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
                self.complaints.append(json.dumps(message["params"])[:500])
        return message


@contextmanager
def browser(folder: Path) -> Iterator[Page]:
    """A tab of a browser that keeps its things in `folder` and ends with the block."""
    (their_in, our_out), (our_in, their_out) = os.pipe(), os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (their_in, their_out)]  # clear of 3 and 4, where they are to be

    def placed() -> None:
        for number, end in enumerate(high, start=3):
            os.dup2(end, number)

    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-pipe"]
    command = [str(PATH), *options, f"--user-data-dir={folder}", "about:blank"]
    process = subprocess.Popen(command, pass_fds=(3, 4), preexec_fn=placed, stderr=subprocess.DEVNULL)
    for end in (their_in, their_out, *high):
        os.close(end)
    try:
        yield Page(our_out, our_in)
    finally:
        process.kill()
        process.wait()
        os.close(our_out)
        os.close(our_in)
