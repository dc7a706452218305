# SPDX-License-Identifier: Apache-2.0
"""Firefox without a screen, driven over Marionette, its own remote protocol (TCP, loopback).

Owns: one browser process with a profile of its own. The profile's NSS database is the test's to
fill before start(). Certificates are chosen by a preference that every Firefox has.
"""

import base64
import json
import os
import socket
import subprocess
import time

from fixture import poll_until

DEADLINE = 60.0  # for the first start on a slow machine
PREFERENCES = {
    "security.default_personal_cert": "Select Automatically",
    # a port that is free, which it then writes into the profile
    "marionette.port": 0,
    # nothing but the pages that are asked for
    "app.normandy.enabled": False,
    "app.update.auto": False,
    "browser.aboutwelcome.enabled": False,
    "browser.safebrowsing.update.enabled": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.systemAddon.update.enabled": False,
    "extensions.update.enabled": False,
    "media.gmp-manager.updateEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.dns.disablePrefetch": True,
    "network.http.speculative-parallel-limit": 0,
    "network.prefetch-next": False,
    "network.proxy.type": 0,
    "services.settings.server": "data:,",
    "toolkit.telemetry.enabled": False,
}


class Firefox:
    """start() returns when it answers; goto() loads a page."""

    def __init__(self, home, environment):
        """@home: a directory that it may fill."""
        self.home = home
        self.environment = environment
        self.profile = home / "profile"
        self.profile.mkdir()
        self.process = self._socket = None
        self._last_id, self._pending = 0, b""

    def start(self, **preferences):
        """@preferences: further ones, as in about:config."""
        wanted = {**PREFERENCES, **preferences}
        (self.profile / "user.js").write_text("".join(
            f"user_pref({json.dumps(name)}, {json.dumps(value)});\n"
            for name, value in wanted.items()))
        with open(self.home / "firefox.log", "ab") as log:
            self.process = subprocess.Popen(
                ["firefox-esr", "--headless", "--marionette", "--no-remote", "--width=800",
                 "--height=600", "--profile", str(self.profile)], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, env=self.environment, start_new_session=True)
        port = poll_until(self._port, DEADLINE, lambda: f"Firefox is up\n{self.log()}")
        self._socket = socket.create_connection(("127.0.0.1", port), DEADLINE)
        self._receive(time.monotonic() + DEADLINE)  # its greeting
        self.call("WebDriver:NewSession")
        return self

    def _port(self):
        if self.process.poll() is not None:
            raise AssertionError(f"firefox ended\n{self.log()}")
        try:
            return int((self.profile / "MarionetteActivePort").read_text())
        except (FileNotFoundError, ValueError):
            return None

    def log(self):
        return (self.home / "firefox.log").read_text(errors="replace")

    # ---- the protocol: a length, a colon, JSON

    def _receive(self, end):
        while True:
            size, colon, rest = self._pending.partition(b":")
            if colon and len(rest) >= int(size):
                self._pending = rest[int(size):]
                return json.loads(rest[:int(size)])
            self._socket.settimeout(max(0.001, end - time.monotonic()))
            try:
                data = self._socket.recv(65536)
            except TimeoutError:
                raise AssertionError(f"firefox: no answer in time\n{self.log()}") from None
            if not data:
                raise AssertionError(f"firefox ended\n{self.log()}")
            self._pending += data

    def try_call(self, command, **params):
        """(result, error) of one command; one of them is None."""
        self._last_id += 1
        text = json.dumps([0, self._last_id, command, params]).encode()
        self._socket.sendall(b"%d:%s" % (len(text), text))
        _, _, error, result = self._receive(time.monotonic() + 2 * DEADLINE)
        return result, error

    def call(self, command, **params):
        result, error = self.try_call(command, **params)
        if error:
            raise AssertionError(f"firefox: {command}: {error}")
        return result

    # ---- what a person does

    def goto(self, url, deadline=DEADLINE):
        """Load a page; (what can be read on it, the browser's error or "")."""
        self.call("WebDriver:SetTimeouts", pageLoad=int(deadline * 1000))
        error = self.try_call("WebDriver:Navigate", url=url)[1]
        text = self.call("WebDriver:ExecuteScript", script="return document.body.innerText",
                         args=[])
        return text["value"], error["message"] if error else ""

    def screenshot(self, path):
        path.parent.mkdir(exist_ok=True)
        shot = self.call("WebDriver:TakeScreenshot", full=False, hash=False)
        path.write_bytes(base64.b64decode(shot["value"]))

    def end(self):
        if self._socket:
            self._socket.close()
            self._socket = None
        if self.process:
            if self.process.poll() is None:
                os.killpg(self.process.pid, 9)
            self.process.wait()
            self.process = None
