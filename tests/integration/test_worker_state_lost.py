# SPDX-License-Identifier: Apache-2.0
"""Codes that mean "token or module state is gone": one clean new start, and the request goes on."""

import time

import tls_messages
import wire
from faults import FaultTest, main
from harness import Code, Kind, poll_until
from wire import ModuleState

STATE_LOST = {
    "CKR_SESSION_HANDLE_INVALID": "b3", "CKR_SESSION_CLOSED": "b0", "CKR_DEVICE_ERROR": "30",
    "CKR_DEVICE_REMOVED": "32", "CKR_TOKEN_NOT_PRESENT": "e0", "CKR_TOKEN_NOT_RECOGNIZED": "e1",
    "CKR_CRYPTOKI_NOT_INITIALIZED": "190", "CKR_KEY_HANDLE_INVALID": "60",
    "CKR_USER_NOT_LOGGED_IN": "101", "CKR_GENERAL_ERROR": "5",
}
TROUBLE = {**STATE_LOST, "CKR_FUNCTION_FAILED": "6", "CKR_HOST_MEMORY": "2",
           "CKR_DEVICE_MEMORY": "31", "CKR_OPERATION_ACTIVE": "90",
           "an unknown code": "80000123"}


class StateTest(FaultTest):
    def sign(self, client, key):
        return client.sign(key.hash, wire.ECDSA_SHA256, Kind.TLS13,
                           tls_messages.certificate_verify())


class TestStateLost(StateTest):
    def assert_each(self, codes, function, check):
        """One token for all codes, a fresh agent for each."""
        token = self.faulty_token()
        for name, code in codes.items():
            with self.subTest(name):
                agent = self.serve(token, workers=1)
                logins = token.calls("C_Login")
                token.rules(f"{function} rv {code} 1")
                with agent.connect() as client:
                    check(client, token.keys["work"])
                    self.assert_signs(client, token.keys["work"])
                self.assertLessEqual(token.calls("C_Login") - logins, 1)
                agent.stop()
                token.rules()

    def test_before_the_signature_the_client_notices_nothing(self):
        self.assert_each(STATE_LOST, "C_SignInit", self.assert_signs)

    def test_in_the_signature_the_next_request_works(self):
        def ask(client, key):
            try:
                self.sign(client, key)
            except wire.Refused as refusal:
                self.assertIn(refusal.code, (Code.INTERNAL, Code.TOKEN_GONE))
        self.assert_each(TROUBLE, "C_Sign", ask)

    def test_trouble_that_stays_ends_in_an_error(self):
        token = self.faulty_token()
        agent = self.serve(token, workers=1)
        before = token.calls("C_SignInit")
        token.rules("C_SignInit rv b3")
        with agent.connect() as client:
            with self.assertRaises(wire.Refused) as caught:
                self.sign(client, token.keys["work"])
        self.assertIn(caught.exception.code, (Code.INTERNAL, Code.TOKEN_GONE, Code.BUSY))
        self.assertLessEqual(token.calls("C_SignInit") - before, 4)
        token.rules()
        self.assert_recovers(agent, token.keys["work"])

    def test_trouble_that_was_over_for_long_does_not_count(self):
        """After a restart of pcscd, say: the next card that is pulled is met at once again."""
        token = self.faulty_token()
        agent = self.serve(token, workers=1)
        token.rules("C_SignInit rv b3")
        with agent.connect() as client:
            while self.module(agent).state != ModuleState.BACKOFF:
                with self.assertRaises(wire.Refused):
                    self.sign(client, token.keys["work"])
            token.rules()
            self.wait_module(agent, lambda m: m.state == ModuleState.READY)
            time.sleep(1.5)  # a worker that was up for a second did not fail at its start
            token.rules("C_SignInit rv b3 2")  # the worker tries twice
            self.assert_signs(client, token.keys["work"])

    def test_pin_that_failed_meanwhile_is_tried_once(self):
        token = self.faulty_token()
        agent = self.serve(token, workers=1)
        logins = token.calls("C_Login")
        token.set_pin_file("0000")
        token.rules("C_SignInit rv 30 1")
        with agent.connect() as client:
            for _ in range(5):
                with self.assertRaises(wire.Refused) as caught:
                    self.sign(client, token.keys["work"])
                self.assertIn(caught.exception.code, (Code.PIN, Code.LOCKED))
        self.assertEqual(token.calls("C_Login") - logins, 1)

    def test_no_re_login_within_one_worker(self):
        token = self.faulty_token()
        agent = self.serve(token, workers=1)
        token.rules("C_SignInit rv b3 1")
        with agent.connect() as client:
            self.assert_signs(client, token.keys["work"])
        for pid in token.calling_pids("C_Login"):
            self.assertEqual(token.calls("C_Login", pid), 1)

    def test_error_names_the_code_of_the_module(self):
        token = self.faulty_token()
        agent = self.serve(token, workers=1)
        token.rules("C_Sign rv 20 1")
        with agent.connect() as client:
            refusal = self.assert_refused(Code.INTERNAL, self.sign, client, token.keys["work"])
        self.assertIn("CKR_DATA_INVALID", refusal.text)


class TestTokenRemoved(StateTest):
    """SoftHSM in the part of a card; real readers are in tests/token."""

    def test_removed_token_is_named_and_comes_back(self):
        token = self.faulty_token()
        agent = self.serve(token, workers=1)
        client = self.connect(agent)
        token.rules("removed demo")
        refusal = self.assert_refused(Code.TOKEN_GONE, client.sign, token.keys["work"].hash,
                                      wire.ECDSA_SHA256, Kind.TLS13,
                                      tls_messages.certificate_verify())
        self.assertIn("demo", refusal.text)
        token.rules()
        self.assert_recovers(agent, token.keys["work"])

    def test_token_that_comes_after_the_start_is_found(self):
        token = self.faulty_token()
        token.rules("removed demo")
        agent = self.serve(token, ready=False, workers=1)
        self.wait_module(agent, lambda m: m.state == ModuleState.READY)
        client = self.connect(agent)
        self.assertEqual(client.keys(), [])
        token.rules()
        agent.wait_keys(deadline=5)
        self.assert_signs(client, token.keys["work"])

    def test_token_that_was_out_for_long_is_found_when_its_key_is_asked_for(self):
        token = self.faulty_token()
        agent = self.serve(token, workers=1)
        token.rules("removed demo")
        agent.kill_workers()
        self.wait_module(agent, lambda m: m.restarts == 1 and m.state == ModuleState.READY)
        starts = token.calls("C_Initialize")
        token.wait_calls("C_Initialize", starts + 3)  # the next look comes 8 s later
        poll_until(lambda: not agent.status().tokens, what="the token is not listed")
        with agent.connect() as client:
            refusal = self.assert_refused(Code.TOKEN_GONE, self.sign, client, token.keys["work"])
        self.assertIn("put it in", refusal.text)
        token.rules()
        self.assert_recovers(agent, token.keys["work"], deadline=4)

    def test_login_that_a_person_typed_outlives_requests_for_what_is_not_there(self):
        token = self.faulty_token()
        agent = self.serve(token, ready=False, workers=1, pin="ask")
        with agent.connect() as client:
            client.unlock(token.pin)
            workers = agent.workers()
            end = time.monotonic() + 2.5  # two looks would come in this time
            while time.monotonic() < end:
                self.assert_refused(Code.NO_KEY, client.keys, "nothing")
            self.assert_signs(client, token.keys["work"])
        self.assertEqual(agent.workers(), workers)

    def test_other_module_lives(self):
        token, other = self.faulty_token(), self.other_token()
        agent = self.serve(token, other)
        token.rules("removed")
        with agent.connect() as client:
            self.assert_signs(client, other.keys["healthy"])

    def test_removed_in_mid_sign(self):
        token = self.faulty_token()
        agent = self.serve(token, workers=1)
        token.rules("C_Sign delay 500")
        client = self.connect(agent)
        request = self.ask(client, token.keys["work"])
        token.wait_calls("C_Sign")
        token.rules("removed demo")
        reply = client.wait(request)
        self.assertIn(reply.code, (Code.TOKEN_GONE, Code.INTERNAL))
        token.rules()
        self.assert_recovers(agent, token.keys["work"])


if __name__ == "__main__":
    main()
