# SPDX-License-Identifier: Apache-2.0
"""What every browser must do, with whatever certificate its settings choose without a person.

Not a test program: test_browsers_chromium.py and test_browsers_firefox.py run it, each with its
browser.
"""

import time

from fixture import SCREENSHOTS, Tap

AT_ONCE_SECONDS = 10  # for a page that fails without waiting for anything
NSS_LOOKS_AGAIN_SECONDS = 1.2  # NSS believes for a second that an empty slot is empty
NO_CERTIFICATE = "No required SSL certificate was sent"  # what nginx says to who has none


class Pages:
    """For a ProgramTest that has a browser: browser() starts it."""

    NAME = ""

    def browser(self, tls12=False):
        raise NotImplementedError

    def shoot(self, browser, what):
        browser.screenshot(SCREENSHOTS / f"{self.NAME}-{what}.png")

    def assert_shows(self, browser, label, version="TLSv1.3"):
        text, error = browser.goto(self.sites[label].url)
        self.assertEqual(error, "", browser.log())
        self.assertTrue(text.startswith(f"CN={label}|{version}|"), text)

    def assert_no_certificate(self, browser, label):
        text, _ = browser.goto(self.sites[label].url)
        self.assertIn(NO_CERTIFICATE, text)

    def assert_pages(self, browser, version):
        for label in self.UNCHECKED:
            self.assert_shows(browser, label, version)
            self.shoot(browser, f"{label}-{version}")
        self.assert_signed(*self.UNCHECKED)
        self.assert_few_round_trips()

    def test_tls13(self):
        self.assert_pages(self.browser(), "TLSv1.3")

    def test_tls12(self):
        self.assert_pages(self.browser(tls12=True), "TLSv1.2")

    def test_agent_comes_later(self):
        """A browser that was started before the agent needs no restart."""
        path = self.home / "later.sock"
        self.environment["MTLS_AGENT_SOCK"] = str(path)
        browser = self.browser()
        self.assert_no_certificate(browser, "ec")
        tap = Tap(path, self.agent.socket)
        self.addCleanup(tap.end)
        time.sleep(NSS_LOOKS_AGAIN_SECONDS)
        self.assert_shows(browser, "rsa")

    def test_token_comes_in(self):
        """A card that is plugged in while the browser runs."""
        self.addCleanup(self.reload, self.config())
        self.agent.reload("")
        browser = self.browser()
        self.assert_no_certificate(browser, "ec")
        self.reload(self.config())
        time.sleep(NSS_LOOKS_AGAIN_SECONDS)
        self.assert_shows(browser, "rsa")

    def reload(self, config):
        self.agent.reload(config)
        self.agent.wait_keys(len(self.KEYS))
