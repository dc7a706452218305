# SPDX-License-Identifier: Apache-2.0
"""Chromium without a screen, driven over its debugging pipe (Chrome DevTools Protocol, 1.3).

Owns: one browser process with an empty profile. Certificates are chosen by the policy
AutoSelectCertificateForUrls; policies lie in a fixed directory below /etc, so the browser runs in a
mount namespace in which that directory is ours, and nothing on the machine is touched.
"""

import base64
import fcntl
import json
import os
import select
import subprocess
import time

DEADLINE = 60.0  # for the first start on a slow machine
CONFIGURATION = "/etc/chromium"  # where Debian's package looks for policies/managed/*.json
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-default-apps", "--window-size=800,600", "--remote-debugging-pipe"]


class Chromium:
    """start() returns when it answers; goto() loads a page."""

    def __init__(self, home, environment, *flags):
        """@home: a directory that it may fill. The NSS database is $HOME/.pki/nssdb."""
        self.home, self.environment, self.flags = home, environment, flags
        self.process = None
        self._last_id, self._session = 0, {}
        self._events, self._pending = [], b""
        self._write, self._read = -1, -1

    def start(self, *urls):
        """@urls: the sites that get a certificate, whichever fits what they ask for."""
        policies = self.home / "etc-chromium/policies/managed"
        policies.mkdir(parents=True, exist_ok=True)
        (policies / "tests.json").write_text(json.dumps({"AutoSelectCertificateForUrls": [
            json.dumps({"pattern": url.rstrip("/"), "filter": {}}) for url in urls]}))
        reader, self._write = os.pipe()
        self._read, writer = os.pipe()
        # out of the way of 3 and 4, where the browser looks for them
        ours = [fcntl.fcntl(end, fcntl.F_DUPFD, 20) for end in (reader, writer)]
        script = (f'mount --bind "$0" {CONFIGURATION} && '
                  'exec "$@" 3<&{0} 4>&{1} {0}<&- {1}>&-'.format(*ours))
        namespace = ["unshare", "--mount"] + (["--map-root-user"] if os.geteuid() else [])
        with open(self.home / "chromium.log", "ab") as log:
            self.process = subprocess.Popen(
                [*namespace, "bash", "-c", script, str(self.home / "etc-chromium"), "chromium",
                 *FLAGS, *self.flags, f"--user-data-dir={self.home}/profile"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment,
                pass_fds=ours, start_new_session=True)
        for end in (reader, writer, *ours):
            os.close(end)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        self.call("Page.enable")
        return self

    def log(self):
        return (self.home / "chromium.log").read_text(errors="replace")

    # ---- the protocol

    def _receive(self, end):
        """The next message: an answer or an event."""
        while b"\0" not in self._pending:
            if not select.select([self._read], [], [], max(0, end - time.monotonic()))[0]:
                raise AssertionError(f"chromium: no answer in time\n{self.log()}")
            data = os.read(self._read, 65536)
            if not data:
                raise AssertionError(f"chromium ended\n{self.log()}")
            self._pending += data
        message, _, self._pending = self._pending.partition(b"\0")
        return json.loads(message)

    def call(self, method, deadline=DEADLINE, **params):
        """One command; its result. Events that came before it are kept."""
        end = time.monotonic() + deadline
        self._last_id += 1
        message = {"id": self._last_id, "method": method, "params": params, **self._session}
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (answer := self._receive(end)).get("id") != self._last_id:
            self._events.append(answer.get("method"))
        if "error" in answer:
            raise AssertionError(f"chromium: {method}: {answer['error']}")
        return answer["result"]

    # ---- what a person does

    def goto(self, url, deadline=DEADLINE):
        """Load a page; (what can be read on it, the browser's error or "")."""
        self._events.clear()
        end = time.monotonic() + deadline
        error = self.call("Page.navigate", deadline, url=url).get("errorText", "")
        while "Page.loadEventFired" not in self._events:
            self._events.append(self._receive(end).get("method"))
        text = self.call("Runtime.evaluate", expression="document.body.innerText")
        return text["result"]["value"], error

    def screenshot(self, path):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def end(self):
        if self.process:
            if self.process.poll() is None:
                os.killpg(self.process.pid, 9)
            self.process.wait()
            os.close(self._write)
            os.close(self._read)
            self.process = None
