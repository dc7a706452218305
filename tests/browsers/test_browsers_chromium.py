# SPDX-License-Identifier: Apache-2.0
"""Chromium loads pages that show which certificate the server verified."""

from chromium import Chromium
from fixture import ProgramTest, main
from pages import AT_ONCE_SECONDS, Pages


class TestChromium(Pages, ProgramTest):
    PROGRAMS = {"chromium": "chromium"}
    NAME = "chromium"

    def setUp(self):
        super().setUp()
        self.nss_database(self.home / ".pki/nssdb")
        self.mark()

    def browser(self, tls12=False):
        browser = Chromium(self.home, self.environment,
                           *["--ssl-version-max=tls1.2"] * tls12)
        self.addCleanup(browser.end)
        return browser.start(*(site.url for site in self.sites.values()))

    def test_refused_by_policy(self):
        """An error page at once, and the next key's page in the same browser."""
        for tls12 in (False, True):
            with self.subTest(tls12=tls12):
                self.mark()
                browser = self.browser(tls12)
                _, error = browser.goto(self.sites["tls"].url, AT_ONCE_SECONDS)
                self.assertEqual(error, "net::ERR_SSL_CLIENT_AUTH_SIGNATURE_FAILED")
                self.assert_refused("tls")
                self.shoot(browser, "refused")
                self.assert_shows(browser, "ec", "TLSv1.2" if tls12 else "TLSv1.3")
                browser.end()


if __name__ == "__main__":
    main()
