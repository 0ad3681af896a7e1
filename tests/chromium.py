"""A headless Chromium of a test's own, from Debian's package, told by its DevTools what to do.

It talks by a pair of pipes, in JSON, each message ended by a zero byte:
https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import queue
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any, NamedTuple

#: The name of the program.
PROGRAM = "chromium"

_PATIENCE = 60  # seconds
_NUL = b"\0"
_OPTIONS = (
    *("--headless", "--disable-gpu", "--no-first-run", "--remote-debugging-pipe"),
    # It shows only what the tests have written, and root may not have its sandbox.
    "--no-sandbox",
    # Nothing of its own goes to the network.
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


class Opened(NamedTuple):
    """What a page did while it was opened.

    Attributes:
        requests: what it asked for, beside itself.
        errors: what the console says that is an error.
    """

    requests: list[str]
    errors: list[str]


class Chromium:
    """A browser with one page."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="chromium-"))
        self._numbers = itertools.count(1)
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._events: list[dict[str, Any]] = []
        self._session: dict[str, str] = {}
        self._process, self._to, self._from = self._start()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")

    def _start(self) -> tuple[subprocess.Popen[bytes], int, int]:
        program = shutil.which(PROGRAM)
        assert program
        its_input, to = os.pipe()
        from_, its_output = os.pipe()
        # It reads from the descriptor 3, and writes to 4.
        script = f'exec "$@" 3<&{its_input} 4>&{its_output}'
        process = subprocess.Popen(
            ["bash", "-c", script, "-", program, *_OPTIONS, f"--user-data-dir={self._folder}"],
            pass_fds=[its_input, its_output],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(its_input)
        os.close(its_output)
        return process, to, from_

    def _read(self) -> None:
        received = b""
        while chunk := os.read(self._from, 65536):
            *messages, received = (received + chunk).split(_NUL)
            for message in map(json.loads, messages):
                if "id" in message:
                    self._answers.put(message)
                else:
                    self._events.append(message)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Have something done, and give back the answer."""
        number = next(self._numbers)
        call = {"id": number, "method": method, "params": parameters, **self._session}
        os.write(self._to, json.dumps(call).encode() + _NUL)
        answer = self._answers.get(timeout=_PATIENCE)
        assert answer["id"] == number
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def open(self, url: str, *, width: int = 1200, scheme: str = "light") -> Opened:
        """Open a page, and wait until all that it needs is there.

        Args:
            url: of the page.
            width: of the window, in pixels.
            scheme: the colours that the user prefers, `light` or `dark`.
        """
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", features=[feature])
        self._events.clear()
        self.call("Page.navigate", url=url)
        is_loaded = "new Promise(ready => document.readyState === 'complete' ? ready() : "
        self.evaluate(f"{is_loaded} addEventListener('load', () => ready()))")
        requested = [
            each["params"]["request"]["url"]
            for each in self._events
            if each["method"] == "Network.requestWillBeSent"
        ]
        return Opened([each for each in requested if each != url], self._errors())

    def _errors(self) -> list[str]:
        errors = []
        for event in self._events:
            parameters = event["params"]
            if event["method"] == "Log.entryAdded" and parameters["entry"]["level"] == "error":
                errors.append(parameters["entry"]["text"])
            if event["method"] == "Runtime.exceptionThrown":
                errors.append(parameters["exceptionDetails"]["text"])
        return errors

    def evaluate(self, script: str) -> Any:
        """The value of an expression of JavaScript in the page."""
        options = {"awaitPromise": True, "returnByValue": True}
        answer = self.call("Runtime.evaluate", expression=script, **options)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def picture(self) -> bytes:
        """All of the page as a PNG."""
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(answer["data"])

    def close(self) -> None:
        """End it, and take what it stored away."""
        with contextlib.suppress(OSError):
            self.call("Browser.close")
        self._process.wait(_PATIENCE)
        self._reader.join()
        os.close(self._to)
        os.close(self._from)
        shutil.rmtree(self._folder, ignore_errors=True)
