# SPDX-License-Identifier: Apache-2.0
"""Firefox loads pages that show which certificate the server verified."""

from firefox import Firefox
from fixture import ProgramTest, main
from pages import AT_ONCE_SECONDS, Pages

LOADING_SECONDS = 3  # until we take it for a page that loads forever


class TestFirefox(Pages, ProgramTest):
    PROGRAMS = {"firefox-esr": "firefox-esr"}
    NAME = "firefox"

    def browser(self, tls12=False):
        browser = Firefox(self.home, self.environment)
        self.addCleanup(browser.end)
        self.nss_database(browser.profile)
        self.mark()
        return browser.start(**{"security.tls.version.max": 3} if tls12 else {})

    def test_default_policy(self):
        """
        In TLS 1.3 newer ones have the token hash, so the agent sees the message and that it is TLS;
        those that send a digest show an error page at once.
        """
        browser = self.browser()
        text, error = browser.goto(self.sites["tls"].url, AT_ONCE_SECONDS)
        self.shoot(browser, "default-policy")
        if error:
            self.assertIn("e=nssFailure", error)
            self.assert_refused("tls")
        else:
            self.assertTrue(text.startswith("CN=tls|TLSv1.3|"), text)
            self.assert_signed("tls", kinds=["tls13"])
        self.assert_shows(browser, "ec")

    def test_refused_in_tls12(self):
        """
        It takes no notice of a signature that failed, for whatever reason, and waits for the
        server. The agent refused at once, and the browser is not stuck: the next page is shown.
        """
        browser = self.browser(tls12=True)
        _, error = browser.goto(self.sites["tls"].url, LOADING_SECONDS)
        self.assertIn("timed out", error)
        self.assert_refused("tls")
        self.assert_shows(browser, "ec", "TLSv1.2")


if __name__ == "__main__":
    main()
