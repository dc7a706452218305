# SPDX-License-Identifier: Apache-2.0
"""OpenVPN, whose client has its key behind pkcs11-helper, and openconnect with ocserv.

Neither makes a network device: OpenVPN has `--dev null`, openconnect logs in and ends.
"""

import getpass
import grp
import os
import re
import unittest

from fixture import (MODULE, Logged, ProgramsTest, find_program, free_port, issue_server, listens,
                     main, poll_until)


class TestOpenvpn(ProgramsTest):
    NEEDS = ("openvpn",)
    COMMON = ("--dev", "null", "--ifconfig-noexec", "--verb", "3", "--auth-nocache")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cert, cls.key = issue_server(cls.token.ca, cls.home)

    def ids(self):
        """DN and what --pkcs11-id wants, of each certificate that OpenVPN lists."""
        done = self.assert_done(self.run_program("openvpn", "--show-pkcs11-ids", MODULE))
        return dict(re.findall(r"DN: +CN=(\S+)\n.*\n +Serialized id: +(\S+)", done.stdout))

    def connect(self, label, version):
        """(client, server) after they connected, or the client gave up."""
        port = free_port()
        server = Logged(self, find_program("openvpn"), *self.COMMON, "--proto", "tcp-server",
                        "--local", "127.0.0.1", "--lport", port, "--tls-server", "--dh", "none",
                        "--ca", self.token.ca.path, "--cert", self.cert, "--key", self.key,
                        "--remote-cert-tls", "client")
        self.assertTrue(server.wait_for("Listening for incoming TCP"), server.text())
        client = Logged(self, find_program("openvpn"), *self.COMMON, "--proto", "tcp-client",
                        "--remote", "127.0.0.1", port, "--nobind", "--tls-client", "--ca",
                        self.token.ca.path, "--remote-cert-tls", "server", "--pkcs11-providers",
                        MODULE, "--pkcs11-id", self.ids()[label], "--tls-exit",
                        "--tls-version-min", version, "--tls-version-max", version,
                        env=self.environment())
        client.wait_for("Initialization Sequence Completed|TLS Error")
        return client, server

    def test_ids(self):
        self.assertTrue({"work", "rsa", "strict"} <= set(self.ids()))

    def test_every_key(self):
        for label in ("work", "rsa"):
            for version in ("1.2", "1.3"):
                with self.subTest(key=label, version=version), \
                        self.assert_signs(label, "openvpn"):
                    client, server = self.connect(label, version)
                    server.wait_for("Peer Connection Initiated")
                    client.end()
                    server.end()
                    self.assertRegex(server.text(), f"VERIFY OK: depth=0, CN={label}\n")
                    self.assertRegex(server.text(), rf"\[{label}\] Peer Connection Initiated")
                    self.assertIn(f"Control Channel: TLSv{version}", client.text())

    def test_a_key_that_signs_tls_alone(self):
        with self.assert_refused("strict"):
            client, server = self.connect("strict", "1.3")
            client.end()
            server.end()
        self.assertNotIn("Peer Connection Initiated", server.text())


@unittest.skipUnless(os.geteuid() == 0, "ocserv needs root")
class TestOpenconnect(ProgramsTest):
    NEEDS = ("openconnect", "ocserv", "unshare")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cert, key = issue_server(cls.token.ca, cls.home)
        cls.port = free_port()
        cls.conf = cls.home / "ocserv.conf"
        settings = {"auth": "certificate", "listen-host": "127.0.0.1", "tcp-port": cls.port,
                    "socket-file": cls.home / "ocserv.sock", "server-cert": cert,
                    "server-key": key, "ca-cert": cls.token.ca.path, "cert-user-oid": "2.5.4.3",
                    "isolate-workers": "false", "run-as-user": getpass.getuser(),
                    "run-as-group": grp.getgrgid(os.getegid()).gr_name, "device": "vpns",
                    "ipv4-network": "192.0.2.0/24"}
        cls.conf.write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))

    def server(self):
        server = Logged(self, find_program("ocserv"), "-f", "-d", "3", "-c", self.conf)
        poll_until(lambda: listens(self.port) or server.process.poll() is not None, what="ocserv")
        self.assertIsNone(server.process.poll(), server.text())
        return server

    def login(self, label):
        return self.run_registered("openconnect", "--authenticate", "--non-inter", "--cafile",
                                   self.token.ca.path, "--certificate", self.uri(label, "cert"),
                                   "--sslkey", self.uri(label, "private"),
                                   f"https://localhost:{self.port}/")

    def test_login(self):
        """Certificate and key from the token; openconnect itself takes no Ed25519 key."""
        server = self.server()
        for label in ("work", "rsa"):
            with self.subTest(label), self.assert_signs(label, "openconnect"):
                done = self.login(label)
                self.assertIn("COOKIE=", done.stdout, done.stderr + server.text())
                self.assertIn(f"user '{label}'", server.text())

    def test_a_key_that_signs_tls_alone(self):
        self.server()
        with self.assert_refused("strict"):
            self.assertNotIn("COOKIE=", self.login("strict").stdout)


if __name__ == "__main__":
    main()
