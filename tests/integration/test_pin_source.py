# SPDX-License-Identifier: Apache-2.0
"""Where a PIN comes from: files that others could read or write, commands that fail, odd contents.

What is no PIN is refused before the token hears of it: no login, no try spent.
"""

import os

import wire
from faults import FaultTest, main
from harness import Code, OTHER_UID, needs_root
from wire import ModuleState, TokenState


class SourceTest(FaultTest):
    def assert_refused_source(self, token, pin, *words):
        """The source is not used, and the status says why."""
        agent = self.serve(token, ready=False, pin=pin, workers=1)
        self.wait_module(agent, lambda m: m.state == ModuleState.READY)
        status = self.wait_token(agent, lambda t: t.text)
        self.assertNotEqual(status.state, TokenState.READY)
        for word in words:
            self.assertIn(str(word), status.text)
        self.assertEqual(token.calls("C_Login"), 0)
        self.assert_serves(agent)
        return agent

    def assert_good_source(self, token, pin):
        agent = self.serve(token, pin=pin, workers=1)
        with agent.connect() as client:
            self.assert_signs(client, token.keys["work"])
        self.assertEqual(token.calls("C_Login"), 1)


class TestFile(SourceTest):
    def pin_file(self, token, mode=0o600, content=None):
        path = token.dir / "other-pin"
        path.write_bytes(content if content is not None else token.pin.encode() + b"\n")
        path.chmod(mode)
        return path

    def test_readable_by_others(self):
        for mode in (0o644, 0o640, 0o604, 0o660, 0o602):
            with self.subTest(oct(mode)):
                token = self.faulty_token()
                path = self.pin_file(token, mode)
                self.assert_refused_source(token, f"file:{path}", path)

    def test_owner_alone(self):
        for mode in (0o600, 0o400):
            with self.subTest(oct(mode)):
                token = self.faulty_token()
                self.assert_good_source(token, f"file:{self.pin_file(token, mode)}")

    @needs_root
    def test_other_owner(self):
        token = self.faulty_token()
        path = self.pin_file(token)
        os.chown(path, OTHER_UID, OTHER_UID)
        self.assert_refused_source(token, f"file:{path}", path)

    def test_symlink(self):
        token = self.faulty_token()
        link = token.dir / "link"
        link.symlink_to(self.pin_file(token))
        self.assert_refused_source(token, f"file:{link}", link)

    def test_fifo_is_not_waited_for(self):
        token = self.faulty_token()
        fifo = token.dir / "fifo"
        os.mkfifo(fifo, 0o600)
        self.assert_refused_source(token, f"file:{fifo}", fifo)

    def test_directory(self):
        token = self.faulty_token()
        directory = token.dir / "directory"
        directory.mkdir(mode=0o700)
        self.assert_refused_source(token, f"file:{directory}", directory)

    def test_missing(self):
        token = self.faulty_token()
        self.assert_refused_source(token, f"file:{token.dir}/nothing", "nothing")

    def test_device(self):
        token = self.faulty_token()
        self.assert_refused_source(token, "file:/dev/zero", "/dev/zero")


class TestContent(SourceTest):
    def source(self, token, content):
        path = token.dir / "other-pin"
        path.write_bytes(content)
        path.chmod(0o600)
        return f"file:{path}"

    def assert_no_pin(self, content, word):
        token = self.faulty_token()
        self.assert_refused_source(token, self.source(token, content), word)

    def test_empty_file(self):
        self.assert_no_pin(b"", "empty")

    def test_line_end_alone(self):
        self.assert_no_pin(b"\n", "empty")

    def test_256_bytes(self):
        self.assert_no_pin(b"1" * 256, "255")

    def test_a_file_without_end(self):
        self.assert_no_pin(b"1" * 1000000, "255")

    def test_nul_byte(self):
        self.assert_no_pin(b"12\x0034\n", "NUL")

    def test_line_ends(self):
        for content in (b"1234", b"1234\n", b"1234\r\n"):
            with self.subTest(content):
                token = self.faulty_token()
                self.assert_good_source(token, self.source(token, content))

    def test_utf8(self):
        pin = "Zürich-日本-π"
        token = self.faulty_token(pin=pin)
        self.assert_good_source(token, self.source(token, pin.encode() + b"\n"))

    def test_255_bytes_reach_the_token(self):
        pin = "p" * 255
        token = self.faulty_token(pin=pin)
        self.assert_good_source(token, self.source(token, pin.encode() + b"\n"))

    def test_spaces_belong_to_the_pin(self):
        token = self.faulty_token(pin=" 12 34 ")
        self.assert_good_source(token, self.source(token, b" 12 34 \n"))


class TestCommand(SourceTest):
    def test_first_line_of_the_output(self):
        token = self.faulty_token()
        self.assert_good_source(token, f"command:printf '{token.pin}\\nmore\\n'")

    def test_failing_command(self):
        token = self.faulty_token()
        self.assert_refused_source(token, "command:echo no vault >&2; exit 3")

    def test_message_of_a_failing_command_is_shown(self):
        token = self.faulty_token()
        agent = self.assert_refused_source(token, "command:echo no vault today >&2; exit 3")
        self.assertIn("no vault today", agent.log())

    def test_output_of_a_failing_command_is_no_pin(self):
        token = self.faulty_token()
        self.assert_refused_source(token, f"command:echo {token.pin}; exit 1")

    def test_silent_command(self):
        token = self.faulty_token()
        self.assert_refused_source(token, "command:true", "empty")

    def test_unknown_command(self):
        token = self.faulty_token()
        self.assert_refused_source(token, "command:/nonexistent/vault get")

    def test_other_module_works_while_a_command_is_slow(self):
        token, other = self.faulty_token(), self.other_token()
        agent = self.serve(token, other, ready=False, pin="command:sleep 30; echo 1234")
        agent.wait_keys(1)
        with agent.connect() as client:
            self.assert_signs(client, other.keys["healthy"])

    def test_stop_ends_a_slow_command(self):
        token = self.faulty_token()
        mark = token.dir / "mark"
        agent = self.serve(token, ready=False, workers=1,
                           pin=f"command:touch {mark}; exec sleep 30")
        self.wait_token(agent, lambda t: mark.exists())
        agent.stop()

    def test_command_has_no_descriptor_of_the_agent(self):
        token = self.faulty_token()
        listing = token.dir / "fds"
        self.assert_good_source(
            token, f"command:for fd in /proc/self/fd/*; do readlink $fd; done > {listing}; "
                   f"echo {token.pin}")
        self.assertNotIn("socket:", listing.read_text())


class TestCredential(SourceTest):
    """systemd puts credentials into a directory that only the service can read."""

    def credentials(self, token, content=None):
        directory = token.dir / "credentials"
        directory.mkdir(mode=0o700)
        (directory / "token-pin").write_text(content if content is not None else token.pin)
        (directory / "token-pin").chmod(0o400)
        return {"env": {"CREDENTIALS_DIRECTORY": str(directory)}}

    def test_credential(self):
        token = self.faulty_token()
        agent = self.serve(token, pin="credential:token-pin",
                           agent_options=self.credentials(token))
        with agent.connect() as client:
            self.assert_signs(client, token.keys["work"])

    def test_missing_credential_is_named(self):
        token = self.faulty_token()
        agent = self.serve(token, ready=False, pin="credential:other",
                           agent_options=self.credentials(token))
        status = self.wait_token(agent, lambda t: t.text)
        self.assertIn("other", status.text)
        self.assertEqual(token.calls("C_Login"), 0)

    def test_no_credentials_directory(self):
        token = self.faulty_token()
        self.assert_refused_source(token, "credential:token-pin", "LoadCredential")


class TestTyped(SourceTest):
    """What a person gives through `mtls unlock`."""

    def locked(self, **kwargs):
        token = self.faulty_token(**kwargs)
        agent = self.serve(token, ready=False, pin="ask", workers=1)
        self.wait_token(agent, lambda t: t.state == TokenState.LOCKED)
        return token, agent

    def assert_no_login(self, pin):
        token, agent = self.locked()
        with agent.connect() as client:
            refusal = self.assert_refused(Code.PIN, client.unlock, pin)
            self.assertEqual(token.calls("C_Login"), 0)
            client.unlock(token.pin)
            self.assert_signs(client, token.keys["work"])
        return refusal

    def test_empty(self):
        self.assertIn("empty", self.assert_no_login(b"").text)

    def test_line_end_alone(self):
        self.assert_no_login(b"\n")

    def test_256_bytes(self):
        self.assert_no_login(b"1" * 256)

    def test_nul(self):
        self.assert_no_login(b"12\x0034")

    def test_utf8(self):
        pin = "пароль"
        token, agent = self.locked(pin=pin)
        with agent.connect() as client:
            client.unlock(pin)
            self.assert_signs(client, token.keys["work"])

    def test_trailing_line_end(self):
        token, agent = self.locked()
        with agent.connect() as client:
            client.unlock(token.pin + "\n")
            self.assert_signs(client, token.keys["work"])

    def test_pipe_that_stays_silent_does_not_hold_others(self):
        token, other = self.faulty_token(), self.other_token()
        agent = self.serve(token, other, ready=False, pin="ask")
        agent.wait_keys(1)
        reader, writer = os.pipe()
        self.addCleanup(os.close, writer)
        with agent.connect() as client, agent.connect() as neighbour:
            client.send(wire.unlock(client.next_id(), "demo"), [reader])
            os.close(reader)
            self.assert_signs(neighbour, other.keys["healthy"])
            self.assert_serves(agent)


if __name__ == "__main__":
    main()
