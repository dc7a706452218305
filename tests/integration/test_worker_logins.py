# SPDX-License-Identifier: Apache-2.0
"""Logins that meet something else: a reload, another worker, another token, a client that leaves."""

import os
import signal
import time

import tls_messages
import wire
from faults import FaultTest, main
from harness import Code, KeyState, Kind, poll_until
from softhsm import MODULE, TokenKey, run
from wire import ModuleState, TokenState

REFUSED_PIN = "0000"


class LoginTest(FaultTest):
    def certificate_section(self, token):
        """A [key] section whose certificate is in a file: workers are replaced for it."""
        file = token.dir / "work.pem"
        file.write_bytes(token.keys["work"].cert)
        return f"[key work]\nuri = pkcs11:token={token.label};object=work\ncertificate = {file}\n"

    def second_token(self, token, label="second"):
        """One more token behind the same module."""
        run("softhsm2-util", "--init-token", "--free", "--label", label, "--pin", token.pin,
            "--so-pin", token.so_pin, env=token.environment)

    def sign(self, client, key):
        return client.sign(key.hash, wire.ECDSA_SHA256, Kind.TLS13,
                           tls_messages.certificate_verify())

    def send_unlock(self, client, pin, selector=""):
        reader, writer = os.pipe()
        os.write(writer, pin.encode())
        os.close(writer)
        client.send(wire.unlock(client.next_id(), selector), [reader])
        os.close(reader)


class TestTokenNotReady(LoginTest):
    """As after a resume: the reader answers with errors for a moment."""

    def asked(self, *rules):
        """An agent whose source is being asked; then the rules hold."""
        token = self.faulty_token()
        runs = token.dir / "runs"
        agent = self.serve(token, ready=False, workers=1,
                           pin=f"command:echo run >> {runs}; sleep 0.5; echo {token.pin}")
        poll_until(runs.exists, what="the source is asked")
        token.rules(*rules)
        return token, agent, runs

    def test_trouble_before_the_login_costs_no_try_and_no_person(self):
        for function in ("C_GetTokenInfo", "C_OpenSession"):
            with self.subTest(function):
                token, agent, _ = self.asked(f"{function} rv 30 1")
                agent.wait_keys()
                self.assertEqual(token.calls("C_Login"), 1)

    def test_trouble_that_stays_is_met_with_pauses(self):
        token, agent, runs = self.asked("C_GetTokenInfo rv 30")
        self.wait_module(agent, lambda m: m.state == ModuleState.BACKOFF)
        self.assertLess(len(runs.read_text().splitlines()), 6)
        token.rules()
        agent.wait_keys()


class TestBrokenOff(LoginTest):
    """The card is pulled in C_Login, say: whether it saw the PIN nobody knows."""

    ENDS = {"removed": "rv 32", "crash": "crash"}
    TRIES = 5

    def counting_token(self):
        token = self.faulty_token()
        token.rules(f"pin-tries {self.TRIES}")
        token.tries_left(self.TRIES)
        return token

    def replace_worker(self, agent):
        (worker,) = agent.workers()
        agent.kill_workers()
        poll_until(lambda: worker not in agent.workers(), what="the worker was replaced")

    def test_request_that_waits_notices_nothing(self):
        for name, end in self.ENDS.items():
            with self.subTest(name):
                token = self.counting_token()
                agent = self.serve(token, workers=1)
                token.rules(f"pin-tries {self.TRIES}", f"C_Login {end} 1")
                self.replace_worker(agent)
                self.assert_recovers(agent, token.keys["work"])
                self.assertEqual(token.calls("C_Login"), 3)
                self.assertEqual(token.tries_left(), self.TRIES)
                agent.stop()

    def test_source_that_never_opened_the_token_is_asked_once_more(self):
        for name, end in self.ENDS.items():
            with self.subTest(name):
                token = self.counting_token()
                token.rules(f"pin-tries {self.TRIES}", f"C_Login {end}")
                agent = self.serve(token, ready=False, workers=1)
                status = self.wait_token(agent, lambda t: t.state == TokenState.PIN_BAD)
                self.assertIn("broke off", status.text)
                self.assertIn("mtls unlock", status.text)
                self.assertEqual(token.calls("C_Login"), 2)
                agent.stop()

    def test_source_that_opened_it_before_is_asked_twice_more(self):
        for name, end in self.ENDS.items():
            with self.subTest(name):
                token = self.counting_token()
                agent = self.serve(token, workers=1)
                token.rules(f"pin-tries {self.TRIES}", f"C_Login {end}")
                self.replace_worker(agent)
                self.wait_token(agent, lambda t: t.state == TokenState.PIN_BAD)
                self.assertEqual(token.calls("C_Login"), 1 + 3)
                agent.stop()

    def test_each_login_that_is_made_begins_anew(self):
        token = self.counting_token()
        agent = self.serve(token, workers=1)
        for _ in range(3):
            token.rules(f"pin-tries {self.TRIES}", "C_Login crash 1")
            self.replace_worker(agent)
            self.assert_recovers(agent, token.keys["work"])

    def test_wrong_pin_costs_one_try(self):
        """It was refused, and the answer lost: the token says that tries are low."""
        token = self.counting_token()
        agent = self.serve(token, workers=1)
        token.rules(f"pin-tries {self.TRIES}", "C_Login delay 1000 1", "C_Login crash 1")
        self.replace_worker(agent)
        token.wait_calls("C_Login", 2)
        token.tries_left(self.TRIES - 1)  # as the token does before it says no
        self.wait_token(agent, lambda t: t.state == TokenState.PIN_BAD)
        self.assertEqual(token.tries_left(), self.TRIES - 1)
        self.assertEqual(token.calls("C_Login"), 2)

    def test_module_that_sees_the_same_token(self):
        """What broke off through one module is not held against the other."""
        token = self.counting_token()
        token.rules(f"pin-tries {self.TRIES}", "C_Login crash 1")
        text = token.config(module="one", workers=1) + token.config(module="two", workers=1)
        agent = self.agent(text)
        agent.wait_for(lambda s: [t.state for t in s.tokens] == [TokenState.READY] * 2,
                       what="both are open")

    def test_reload_asks_again(self):
        token = self.counting_token()
        token.rules(f"pin-tries {self.TRIES}", "C_Login crash 2")
        agent = self.serve(token, ready=False, workers=1)
        self.wait_token(agent, lambda t: t.state == TokenState.PIN_BAD)
        agent.reload()
        self.assert_recovers(agent, token.keys["work"])


class TestReload(LoginTest):
    def test_worker_that_is_replaced_during_its_login(self):
        """The reload wants a fresh worker while the old one still waits for its PIN."""
        token = self.faulty_token()
        command = f"command:sleep 4; cat {token.pin_file}"
        agent = self.serve(token, ready=False, pin=command, workers=1, timeout="10s")
        self.wait_token(agent, lambda t: True)
        agent.reload(token.config(pin=command, workers=1, timeout="10s") +
                     self.certificate_section(token))
        agent.wait_keys()
        with agent.connect() as client:
            self.assert_signs(client, token.keys["work"])

    def test_source_is_asked_once_however_many_workers(self):
        token = self.faulty_token()
        runs = token.dir / "runs"
        command = f"command:echo run >> {runs}; sleep 0.3; echo {REFUSED_PIN}"
        agent = self.serve(token, ready=False, pin=command, workers=2)
        agent.wait_for_log(r"(?s)ready with.*ready with")
        self.assertEqual(runs.read_text(), "run\n")
        agent.reload()
        self.wait_token(agent, lambda t: runs.read_text() != "run\n" and
                        t.state == TokenState.PIN_BAD)
        time.sleep(0.5)  # what is observed is that nothing happens
        self.assertEqual(runs.read_text(), "run\n" * 2)

    def test_every_token_of_a_module_is_asked_again(self):
        token = self.faulty_token()
        self.second_token(token)
        token.set_pin_file("")  # refused without a try, so that tries are not low afterwards
        sections = f"[token second]\nuri = pkcs11:token=second\npin = file:{token.pin_file}\n"
        agent = self.serve(token, ready=False, workers=1, sections=sections)
        for label in ("demo", "second"):
            self.wait_token(agent, lambda t: t.state == TokenState.PIN_BAD, label=label)
        token.set_pin_file(token.pin)
        agent.reload()
        for label in ("demo", "second"):
            self.wait_token(agent, lambda t: t.state == TokenState.READY, label=label)


class TestLeaving(LoginTest):
    def test_requests_of_a_module_that_leaves_before_its_worker_is_back(self):
        """They are answered at once: no worker will come that could serve them."""
        token, other = self.faulty_token(), self.other_token()
        agent = self.serve(token, other, workers=1)
        token.rules("C_Initialize delay 1000", "C_Initialize crash")
        with agent.connect() as client:
            os.kill(token.calling_pids("C_Initialize")[-1], signal.SIGKILL)
            agent.wait_for_log("ended by signal 9")
            request = self.ask(client, token.keys["work"])
            agent.wait_for(lambda s: s.queued == 1, what="the request waits")
            agent.reload(other.config(module="other0"))
            self.assertEqual(client.wait(request).code, Code.TOKEN_GONE)
        agent.wait_for(lambda s: [m.name for m in s.modules] == ["other0"], what="module left")


class TestPerson(LoginTest):
    def test_source_goes_on_after_a_mistyped_pin(self):
        token = self.faulty_token()
        gate = token.dir / "gate"
        agent = self.serve(
            token, ready=False, workers=1,
            pin=f"command:until [ -e {gate} ]; do sleep 0.05; done; echo {token.pin}")
        agent.wait_for(lambda s: s.tokens)
        with agent.connect() as client:
            self.assert_refused(Code.PIN, client.unlock, "999999")
        gate.touch()
        # it was asked; and is not tried, as the token says after the wrong one that tries are low
        self.wait_token(agent, lambda t: t.state == TokenState.PIN_BAD)

    def test_person_does_not_wait_for_a_source(self):
        """Nor for its limit: it is given up."""
        for workers in (1, 2):
            with self.subTest(workers=workers):
                token = self.faulty_token()
                agent = self.serve(token, ready=False, workers=workers, pin="command:sleep 600")
                agent.wait_for(lambda s: s.tokens)
                start = time.monotonic()
                with agent.connect() as client:
                    client.unlock(token.pin)
                    self.assert_signs(client, token.keys["work"])
                self.assertLess(time.monotonic() - start, 10)
                agent.stop()

    def test_client_that_leaves_does_not_spoil_the_source(self):
        """The PIN that was refused is the person's: the source is asked by the next worker."""
        token = self.faulty_token()
        agent = self.serve(token, workers=1)
        with agent.connect() as client:
            client.lock()
        self.wait_token(agent, lambda t: t.state == TokenState.LOCKED)
        token.rules("C_Login delay 500")
        before = token.calls("C_Login")
        with agent.connect() as client:
            self.send_unlock(client, "9999")
            token.wait_calls("C_Login", before + 1)
        agent.wait_for_log("login to token")
        self.assertEqual(self.token_status(agent).state, TokenState.LOCKED)

    def test_refused_unlock_leaves_the_lock(self):
        token = self.faulty_token()
        agent = self.serve(token, workers=1)
        with agent.connect() as client:
            client.lock()
            self.wait_module(agent, lambda m: m.state == ModuleState.READY and m.workers == 1)
            self.assert_refused(Code.PIN, client.unlock, "9999")
        for worker in agent.workers():
            os.kill(worker, signal.SIGKILL)
        self.wait_module(agent, lambda m: m.restarts == 1 and m.state == ModuleState.READY)
        self.assertEqual(self.token_status(agent).state, TokenState.LOCKED)

    def test_lock_wins_over_a_login_under_way(self):
        """Also over one that the module finishes after the lock."""
        token = self.faulty_token()
        agent = self.serve(token, workers=1)
        for worker in agent.workers():
            os.kill(worker, signal.SIGKILL)
        logins = token.calls("C_Login")
        token.rules("C_Login delay 1000 1")
        token.wait_calls("C_Login", logins + 1)
        with agent.connect() as client:
            client.lock()
        agent.wait_for_log("(?s)ready with.*ready with")
        self.assertEqual(self.token_status(agent).state, TokenState.LOCKED)
        self.assertEqual(token.calls("C_Login"), logins + 1)

    def test_lock_during_an_unlock_is_told_to_who_unlocks(self):
        token = self.faulty_token()
        agent = self.serve(token, ready=False, pin="ask", workers=1)
        self.wait_token(agent, lambda t: t.state == TokenState.LOCKED)
        token.rules("C_Login delay 500 1")
        client = self.connect(agent)
        self.send_unlock(client, token.pin)
        token.wait_calls("C_Login")
        with agent.connect() as other:
            other.lock()
        self.assertIn(client.wait(client.last_id).code, (Code.BUSY, Code.INTERNAL))
        client.unlock(token.pin)
        self.assert_signs(client, token.keys["work"])

    def test_unlock_does_not_make_a_bad_source_good(self):
        """The source's PIN stays refused: the next worker does not try it again."""
        token = self.faulty_token()
        runs = token.dir / "runs"
        agent = self.serve(token, ready=False, workers=1,
                           pin=f"command:echo run >> {runs}; echo {REFUSED_PIN}")
        self.wait_token(agent, lambda t: t.state == TokenState.PIN_BAD)
        with agent.connect() as client:
            client.unlock(token.pin)
            self.assert_signs(client, token.keys["work"])
        for worker in agent.workers():
            os.kill(worker, signal.SIGKILL)
        self.wait_token(agent, lambda t: t.state != TokenState.READY)
        self.wait_module(agent, lambda m: m.restarts == 1 and m.state == ModuleState.READY)
        self.assertEqual(runs.read_text(), "run\n")
        status = self.token_status(agent)
        self.assertEqual(status.state, TokenState.PIN_BAD)
        self.assertIn("reload", status.text)

    def test_missing_token_does_not_end_the_login_of_another(self):
        """Workers are replaced to look for a token that is gone, but no typed PIN is lost."""
        token = self.faulty_token()
        self.second_token(token)
        agent = self.serve(token, ready=False, pin="ask", workers=1)
        for label in ("demo", "second"):
            self.wait_token(agent, lambda t: True, label=label)
        token.rules("removed second")
        for worker in agent.workers():
            os.kill(worker, signal.SIGKILL)
        self.wait_module(agent, lambda m: m.restarts == 1 and m.state == ModuleState.READY)
        with agent.connect() as client:
            client.unlock(token.pin, "demo")
            workers = agent.workers()
            time.sleep(4)  # two looks for the token would come in this time
            self.assert_signs(client, token.keys["work"])
        self.assertEqual(agent.workers(), workers)


class TestSameKeyTwice(LoginTest):
    """One key on two tokens of a module: it signs while any of them is unlocked."""

    def twins(self, label):
        """@label and "demo" with the same key on both; no token of them has a PIN source."""
        token = self.faulty_token(keys={"other": "EC:prime256v1"})
        self.second_token(token, label)
        private, public = token.dir / "twin.key", token.dir / "twin.pub"
        run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-out", private)
        public.write_bytes(run("openssl", "pkey", "-in", private, "-pubout"))
        spki = run("openssl", "pkey", "-in", private, "-pubout", "-outform", "DER")
        twin = TokenKey("twin", b"\x42", spki, token.ca.issue(public.read_bytes(), "/CN=twin"))
        cert = token.dir / "twin.der"
        cert.write_bytes(twin.cert_der)
        for name in ("demo", label):
            run("softhsm2-util", "--import", private, "--token", name, "--label", "twin", "--id",
                "42", "--pin", token.pin, env=token.environment)
            run("pkcs11-tool", "--module", MODULE, "--token-label", name, "--login", "--pin",
                token.pin, "--write-object", cert, "--type", "cert", "--id", "42", "--label",
                "twin", env=token.environment)
        return token, twin

    def test_key_signs_whichever_token_is_unlocked(self):
        token, twin = self.twins("second")
        for label in ("demo", "second"):
            with self.subTest(unlocked=label):
                agent = self.serve(token, ready=False, pin="ask", workers=1)
                with agent.connect() as client:
                    client.unlock(token.pin, label)
                    self.assert_signs(client, twin)
                    listed = [key for key in client.keys() if key.hash == twin.hash]
                self.assertEqual({key.state for key in listed}, {KeyState.READY})
                agent.stop()


if __name__ == "__main__":
    main()
