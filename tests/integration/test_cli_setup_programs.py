# SPDX-License-Identifier: Apache-2.0
"""`mtls setup` with the programs themselves: what it prints under "Use:" is typed as it stands, and a
server says whose certificate it verified."""

import os
import shutil
import subprocess
import unittest

import softhsm
from harness import OTHER_UID, needs_no_sanitizer, needs_root, poll_until
from servers import Nginx, free_port, listens
from setup_harness import SetupTest, used

REQUEST = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | "


@needs_no_sanitizer
class ProgramTest(SetupTest):
    KEYS = {"work": "EC:prime256v1", "rsa": "rsa:2048"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.nginx = Nginx(cls.the_token.ca, extra=cls.extra())
        cls.addClassCleanup(cls.nginx.end)
        cls.nginx.start()

    @classmethod
    def extra(cls):
        return ""

    def assert_verified(self, done, label):
        self.assertIn(f"CN={label}|TLSv1.3", done.stdout,
                      f"{done.stderr}\n{self.nginx.log()}\n{self.agent_at_home.log()}")

    def recipe(self, *args):
        """The lines to use; all that was tried went well."""
        text = self.setup(*args)
        self.assertRegex(text, r"(?m)^  ok ")
        self.assertNotRegex(text, r"(?m)^  (failed|not tried) ")
        return used(text)


class TestOpenssl(ProgramTest):
    def test_openssl(self):
        for label in self.KEYS:
            with self.subTest(label):
                export, client = self.recipe("openssl", "--key", label, "--write")
                client = client.replace("SERVER:443", f"localhost:{self.nginx.port}")
                self.assert_verified(self.shell(
                    f"{export}; {REQUEST} {client} -quiet -CAfile {self.the_token.ca.path}"), label)

    def test_curl(self):
        for label in self.KEYS:
            with self.subTest(label):
                line, = self.recipe("curl", "--key", label, "--write")
                line = line.replace("https://SERVER/", self.nginx.url)
                self.assert_verified(self.shell(f"{line} -sS --cacert {self.the_token.ca.path}"),
                                     label)

    def test_python(self):
        start, context, requests = self.recipe("python", "--key", "work", "--write")
        program = self.home / "program.py"
        program.write_text(
            "import ssl, sys, urllib.request\n"
            "context = ssl.create_default_context(cafile=sys.argv[2])\n" + context +
            "\nprint(urllib.request.urlopen(sys.argv[1], context=context).read().decode())\n")
        arguments = f"{self.nginx.url} {self.the_token.ca.path}"
        self.assert_verified(self.shell(start.replace("PROGRAM", f"{program} {arguments}")), "work")
        program.write_text("import requests, sys\nURL, CA = sys.argv[1:]\n"
                           f"print({requests[:-1]}, verify=CA).text)\n")
        self.assert_verified(self.shell(start.replace("PROGRAM", f"{program} {arguments}")), "work")

    def test_nginx(self):
        start, include = self.recipe("nginx", "--key", "work", "--write")
        port = free_port()
        temporary = "".join(f"{name}_temp_path {self.home}/{name};" for name in
                            ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        conf = self.home / "nginx.conf"
        conf.write_text(
            f"{'user root;' if os.geteuid() == 0 else ''} daemon off; pid {self.home}/pid;\n"
            f"error_log {self.home}/error.log; events {{}} http {{ access_log off; {temporary}\n"
            f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass {self.nginx.url};\n"
            f"{include}\nproxy_ssl_verify on; proxy_ssl_protocols TLSv1.3;\n"
            f"proxy_ssl_trusted_certificate {self.the_token.ca.path}; }} }} }}\n")
        process = self.start_process("sh", "-c", f"exec env {start} -c {conf} -e {self.home}/error.log",
                                     env=self.environment(), stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL)
        # its worker would outlive a killed master
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        poll_until(lambda: listens(port) or process.poll() is not None, what="nginx")
        self.assert_verified(self.run_program("curl", "-sS", f"http://127.0.0.1:{port}/"), "work")


class Page:
    """A further server of the test's nginx, for files: git and Java want more than a line of text."""

    def __init__(self, token):
        self.port = free_port()
        self.root = token.dir / "www"
        self.root.mkdir()
        self.url = f"https://localhost:{self.port}/"
        self.block = f"""server {{ listen 127.0.0.1:{self.port} ssl; root {self.root};
            ssl_client_certificate {token.ca.path}; ssl_verify_client on; }}"""


@needs_root
@needs_no_sanitizer
class TestModule(ProgramTest):
    """As a user who is not root: only that one has a registry of p11-kit's of its own."""

    UID = OTHER_UID
    SECTIONS = "[agent]\nusers = root\n"  # the test itself

    @classmethod
    def extra(cls):
        cls.page = Page(cls.the_token)
        return cls.page.block

    def recipe(self, *args):
        return super().recipe(*args, "--allow-digest")

    @unittest.skipUnless(shutil.which("p11tool"), "no p11tool (gnutls-bin)")
    def test_gnutls(self):
        for label in self.KEYS:
            with self.subTest(label):
                client, _ = self.recipe("gnutls", "--key", label, "--write")
                client = client.replace("SERVER", f"localhost --port {self.nginx.port}")
                self.assert_verified(self.shell(
                    f"{REQUEST} {client} --x509cafile {self.the_token.ca.path}"), label)

    @unittest.skipUnless(shutil.which("p11tool") and shutil.which("wget"), "no p11tool or no wget")
    def test_wget(self):
        _, wget = self.recipe("gnutls", "--key", "work", "--write")
        wget = wget.replace("https://SERVER/", self.nginx.url)
        self.assert_verified(self.shell(f"{wget} -q -O- --ca-certificate {self.the_token.ca.path}"),
                             "work")

    @unittest.skipUnless(shutil.which("p11tool") and shutil.which("git"), "no p11tool or no git")
    def test_git(self):
        bare = self.page.root / "project.git"
        tree = self.the_token.dir / "tree"
        for command in (f"git init -q {tree}", f"git -C {tree} -c user.name=a -c user.email=a@b "
                        "commit -q --allow-empty -m first", f"git clone -q --bare {tree} {bare}",
                        f"git -C {bare} update-server-info"):
            softhsm.run("sh", "-c", command)
        line = self.recipe("git", "--key", "work", "--write")[-1]
        line = line.replace("https://SERVER/REPOSITORY", self.page.url + "project.git")
        done = self.shell(f"{line} copy && git -C copy log --format=%s",
                          GIT_SSL_CAINFO=str(self.the_token.ca.path))
        self.assertEqual(done.stdout, "first\n", done.stderr + self.agent_at_home.log())

    JAVA = """import java.net.*; import java.io.*; import javax.net.ssl.*;
        public class Get { public static void main(String[] args) throws Exception {
            var made = (HttpsURLConnection) new URL(args[0]).openConnection();
            made.getInputStream().transferTo(System.out); } }"""

    @unittest.skipUnless(shutil.which("keytool") and shutil.which("javac"), "no JDK")
    def test_java(self):
        program, store = self.home / "Get.java", self.home / "trust.p12"
        program.write_text(self.JAVA)
        softhsm.run("keytool", "-importcert", "-noprompt", "-alias", "ca", "-file",
                    self.the_token.ca.path, "-keystore", store, "-storepass", "changeit")
        store.chmod(0o644)
        for label in self.KEYS:
            with self.subTest(label):
                # Java takes the key that the server's CAs fit: one key is enough of a choice here.
                line, = self.recipe("java", "--key", label, "--write")
                line = line.replace("PROGRAM", f"-Djavax.net.ssl.trustStore={store} "
                                    f"-Djavax.net.ssl.trustStorePassword=changeit {program} "
                                    f"{self.nginx.url}")
                done = self.shell(line)
                self.assertRegex(done.stdout, r"CN=\w+\|TLSv1.3", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
