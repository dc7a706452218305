# SPDX-License-Identifier: Apache-2.0
"""An RSA key on a token that can do neither RSA-PSS nor raw RSA: people see it, and programs that
can be told are led to TLS 1.2 with PKCS#1 v1.5, on a server that would take either version."""

import json
import os
import re
import subprocess
from pathlib import Path

import tls_messages
from e2e import E2ETest, SSL_CLIENT, main
from faults import FaultyToken
from harness import BUILD_ROOT, MTLS_BIN
from test_worker_mechanisms import NO_PSS, NO_RAW_RSA

PKCS11_MODULE = os.environ.get("MTLS_AGENT_PKCS11_MODULE") or \
    BUILD_ROOT / "client/module/mtls-agent-pkcs11.so"


class TestTls12Only(E2ETest):
    KEYS = {"rsa": "rsa:2048"}

    @classmethod
    def class_token(cls, **kwargs):
        token = FaultyToken(**kwargs)
        cls.addClassCleanup(token.remove)
        cls.addClassCleanup(token.check)
        token.rules(NO_PSS, NO_RAW_RSA)
        return token

    def test_list_shows_it(self):
        self.assertRegex(self.mtls("list"), r"rsa +RSA 2048 .* ready, TLS 1\.2 only")
        listed = json.loads(self.mtls("list", "--json"))[0]
        self.assertIs(listed["tls12_only"], True)
        self.assertEqual(listed["schemes"],
                         [f"rsa_pkcs1_sha{bits}" for bits in (256, 384, 512)])

    def test_test_says_so(self):
        done = subprocess.run([MTLS_BIN, "test", "rsa"], env=self.base_environment(), text=True,
                              capture_output=True, timeout=30, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("TLS 1.2 only", done.stderr)

    def test_run_leads_programs_to_tls12(self):
        """None of them is told a version."""
        python = ("import os, ssl, sys, urllib.request\n"
                  "context = ssl.create_default_context(cafile=sys.argv[2])\n"
                  "context.load_cert_chain(os.environ['MTLS_CERT'], os.environ['MTLS_KEY'])\n"
                  "print(urllib.request.urlopen(sys.argv[1], context=context).read().decode())")
        ca, url, port = self.token.ca.path, self.nginx.url, self.nginx.port
        commands = {
            "curl": f'curl -sS --cacert {ca} --cert "$MTLS_CERT" --key "$MTLS_KEY" {url}',
            "python": f'python3 -c "{python}" {url} {ca}',
            "openssl": f'openssl s_client -quiet -verify_return_error -CAfile {ca} -connect '
                       f'localhost:{port} -cert "$MTLS_CERT" -key "$MTLS_KEY"',
        }
        for name, command in commands.items():
            with self.subTest(name):
                done = self.run_wrapped("rsa", "sh", "-c", command,
                                        data="GET / HTTP/1.0\r\n\r\n")
                self.assert_verified(done, "rsa", "1.2")
                self.assertIn("TLS 1.2 only", done.stderr)

    def test_env_and_setup_say_so(self):
        runtime = self.token.dir / "runtime"
        runtime.mkdir(mode=0o700)
        done = self.run_program(MTLS_BIN, "env", "--key", "rsa",
                                env={"XDG_RUNTIME_DIR": str(runtime)})
        self.assertIn("TLS 1.2 only", done.stderr)
        conf = re.search(r"OPENSSL_CONF='?([^'\n;]+)", done.stdout).group(1)
        self.assertIn("Protocol = -TLSv1.3", Path(conf).read_text())
        done = self.run_program(MTLS_BIN, "setup", "curl", "--key", "rsa")
        self.assertIn("for TLS 1.2 only", done.stdout + done.stderr)

    def test_module_for_programs_has_no_pss(self):
        """NSS and GnuTLS look for CKM_RSA_PKCS_PSS, and keep to TLS 1.2 where it is not."""
        tool = ["pkcs11-tool", "--module", PKCS11_MODULE, "--token-label", self.token.label]
        listed = self.run_program(*tool, "-M")
        self.assertEqual(listed.returncode, 0, listed.stderr)
        self.assertIn("SHA256-RSA-PKCS,", listed.stdout)
        self.assertNotIn("PSS", listed.stdout)
        data = self.token.dir / "data"
        data.write_bytes(tls_messages.certificate_verify())
        done = self.run_program(*tool, "--sign", "-m", "SHA256-RSA-PKCS-PSS", "--id",
                                self.token.keys["rsa"].id.hex(), "-i", data, "-o", "/dev/null")
        self.assertNotEqual(done.returncode, 0)

    def test_program_that_insists_on_tls13_is_told_why(self):
        done = self.run_direct("rsa", "openssl", "s_client", "-tls1_3", "-CAfile",
                               self.token.ca.path, "-connect", f"localhost:{self.nginx.port}",
                               "-cert", self.cert_file("rsa"), "-key", self.key_file("rsa"))
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("for TLS 1.2 with PKCS#1 v1.5 only", done.stderr)

    def test_context_with_the_key_by_name_is_limited_to_tls12(self):
        done = self.run_program(SSL_CLIENT, "localhost", self.nginx.port, self.token.ca.path, "rsa")
        self.assert_verified(done, "rsa", "1.2")

    def test_context_for_tls13_alone_is_refused(self):
        """The version is set first here, so that the library can know."""
        done = self.run_program(SSL_CLIENT, "localhost", self.nginx.port, self.token.ca.path, "rsa",
                                "1.3")
        self.assertEqual(done.returncode, 3)
        self.assertIn("TLS 1.2 only", done.stderr)

    def test_chosen_key_is_not_this_one_in_tls13(self):
        """No certificate is sent, instead of a handshake that breaks."""
        before = self.token.calls("C_SignInit")
        done = self.run_program(SSL_CLIENT, "localhost", self.nginx.port, self.token.ca.path, "-")
        self.assertIn("400", done.stdout, done.stderr)
        self.assertEqual(self.token.calls("C_SignInit"), before)


if __name__ == "__main__":
    main()
