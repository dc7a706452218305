# SPDX-License-Identifier: Apache-2.0
"""Desktop notifications of what waits for a person: shown while it waits, and no longer."""

import os
import shutil
import subprocess
import sys
import unittest

import wire
from bus import BusTest, HangingBus, needs_bus
from harness import main


@needs_bus
class NoticeTest(BusTest):
    SLOW = "C_Sign delay 1500"

    def setUp(self):
        self.the_bus = self.bus()
        self.env = {"DBUS_SESSION_BUS_ADDRESS": self.the_bus.address}

    def desktop(self, *capabilities):
        return self.fake("fake-notifications", self.the_bus, "body", *capabilities)

    def touchy(self, sections="", label="demo", env=None):
        """(token whose key is slow from now on, agent)"""
        token = self.faulty_token(label=label)
        token.rules("hardware")
        agent = self.serve(token, workers=1, timeout="30s", sections=sections,
                           agent_options={"env": self.env if env is None else env})
        token.rules("hardware", self.SLOW)
        return token, agent

    def shown(self, desktop):
        """(words of the head, summary, body) of the next notification"""
        head, summary, body = desktop.wait("notify").split("|")
        return head.split()[1:], summary, body

    def sign(self, agent, token):
        with agent.connect() as client:
            self.assert_signs(client, token.keys["work"])


class TestTouch(NoticeTest):
    def test_shown_and_taken_down(self):
        desktop = self.desktop()
        token, agent = self.touchy()
        client = self.connect(agent)
        request = self.ask(client, token.keys["work"])
        head, summary, body = self.shown(desktop)
        self.assertEqual(head, ["1", "0", "2", "1", "0"])  # new, critical, resident, for ever
        self.assertEqual(summary, 'Key "work" waits for you')
        self.assertEqual(body, f'token "demo" may want a touch, for '
                               f'{os.path.realpath(sys.executable)} (pid {os.getpid()})')
        self.assertFalse(desktop.has_said("close"))
        self.assertIsInstance(client.wait(request), wire.SignReply)
        desktop.wait("close 1")

    def test_quick_signatures_show_nothing(self):
        desktop = self.desktop()
        token, agent = self.touchy()
        token.rules("hardware")
        self.sign(agent, token)
        token.rules("hardware", self.SLOW)
        self.sign(agent, token)
        self.shown(desktop)
        desktop.wait("close 1")  # 1: it was the first

    def test_markup_is_escaped_where_it_is_taken(self):
        label = "<b>&amp;</b>"
        for capabilities, expected in ((("body-markup",), "&lt;b&gt;&amp;amp;&lt;/b&gt;"),
                                       ((), label)):
            with self.subTest(capabilities):
                desktop = self.desktop(*capabilities)
                token, agent = self.touchy(label=label)
                self.sign(agent, token)
                self.assertIn(f'"{expected}"', self.shown(desktop)[2])
                desktop.end()
                agent.stop()

    def test_control_characters_do_not_reach_the_desktop(self):
        desktop = self.desktop()
        token, agent = self.touchy(label="\x1b]0;")
        self.sign(agent, token)
        self.assertIn(r'"\x1b]0;"', self.shown(desktop)[2])

    def test_ended_before_the_desktop_answered(self):
        desktop = self.desktop()
        token, agent = self.touchy()
        desktop("slow", 2000)
        self.sign(agent, token)
        self.shown(desktop)
        desktop.wait("close 1")

    @unittest.skipUnless(shutil.which("dbus-send"), "no dbus-send")
    def test_put_away_by_the_person(self):
        desktop = self.desktop()
        token, agent = self.touchy()
        name = desktop.wait("asked").split()[1]
        token.rules("hardware", "C_Sign delay 4000")
        client = self.connect(agent)
        request = self.ask(client, token.keys["work"])
        self.shown(desktop)
        desktop("dismiss", 1)
        desktop.wait("dismissed")
        subprocess.run(["dbus-send", f"--bus={self.the_bus.address}", f"--dest={name}",
                        "--print-reply", "/", "org.freedesktop.DBus.Peer.Ping"],
                       stdout=subprocess.DEVNULL, check=True, timeout=30)  # it was read before
        text = agent.config_file.read_text()
        agent.reload(text + "[agent]\nnotify = no\n")
        agent.reload(text)  # shows what is on the board
        client.wait(request)
        self.assertFalse(desktop.has_said("notify"))
        token.rules("hardware", "C_Sign delay 7000")
        self.sign(agent, token)  # the next one is shown again
        self.assertEqual(self.shown(desktop)[0][0], "2")
        desktop.wait("close 2")
        self.assertNotIn("close 1", desktop.seen)

    def test_agent_takes_its_notifications_down_when_it_ends(self):
        desktop = self.desktop()
        token, agent = self.touchy()
        token.rules("hardware", "C_Sign delay 30000")
        self.ask(self.connect(agent), token.keys["work"])
        self.shown(desktop)
        agent.stop()
        desktop.wait("close 1")


class TestConfiguration(NoticeTest):
    def test_notify_no(self):
        desktop = self.desktop()
        token, agent = self.touchy(sections="[agent]\nnotify = no\n")
        self.sign(agent, token)
        agent.reload(agent.config_file.read_text().replace("notify = no", "notify = yes"))
        token.rules("hardware", "C_Sign delay 4000")
        self.sign(agent, token)
        self.shown(desktop)
        desktop.wait("close 1")  # 1: it was the first

    def test_reload_takes_them_down_and_shows_them_again(self):
        desktop = self.desktop()
        token, agent = self.touchy()
        token.rules("hardware", "C_Sign delay 4000")
        request = self.ask(client := self.connect(agent), token.keys["work"])
        text = agent.config_file.read_text()
        self.shown(desktop)
        agent.reload(text + "[agent]\nnotify = no\n")
        desktop.wait("close 1")
        agent.reload(text)
        self.assertEqual(self.shown(desktop)[0][:2], ["2", "0"])
        client.wait(request)
        desktop.wait("close 2")

    def test_bus_of_the_runtime_directory(self):
        desktop = self.desktop()
        run_dir = self.the_bus.dir / "run"
        (run_dir / "mtls-agent").mkdir(parents=True, mode=0o700)
        run_dir.chmod(0o700)
        (run_dir / "bus").symlink_to(self.the_bus.dir / "bus")
        token, agent = self.touchy(env={"XDG_RUNTIME_DIR": str(run_dir)})
        self.sign(agent, token)
        self.shown(desktop)

    def test_no_program_is_started_for_a_bus(self):
        program = self.the_bus.dir / "ran"
        for address in (f"unixexec:path=/usr/bin/touch,argv1={program}", "autolaunch:",
                        f"unix:path=/nonexistent;unixexec:path=/usr/bin/touch,argv1={program}"):
            with self.subTest(address):
                token, agent = self.touchy(env={"DBUS_SESSION_BUS_ADDRESS": address})
                agent.wait_for_log("DBUS_SESSION_BUS_ADDRESS is not a Unix socket")
                self.sign(agent, token)
                self.assertFalse(program.exists())


class TestDesktop(NoticeTest):
    def test_desktop_comes_while_something_waits(self):
        token, agent = self.touchy()
        token.rules("hardware", "C_Sign delay 4000")
        client = self.connect(agent)
        client.subscribe(wire.WAITING)
        request = self.ask(client, token.keys["work"])
        client.event()
        desktop = self.desktop()
        self.shown(desktop)
        client.wait(request)
        desktop.wait("close 1")

    def test_desktop_is_restarted(self):
        desktop = self.desktop()
        token, agent = self.touchy()
        token.rules("hardware", "C_Sign delay 5000")
        client = self.connect(agent)
        request = self.ask(client, token.keys["work"])
        self.shown(desktop)
        desktop.end()
        desktop = self.desktop()
        self.assertEqual(self.shown(desktop)[0][:2], ["1", "0"])
        client.wait(request)
        desktop.wait("close 1")

    def test_without_a_desktop_nothing_waits(self):
        hanging = HangingBus(self.the_bus.dir)
        self.addCleanup(hanging.close)
        for address in (self.the_bus.address, hanging.address, "unix:path=/nonexistent/bus"):
            with self.subTest(address):
                token, agent = self.touchy(env={"DBUS_SESSION_BUS_ADDRESS": address})
                self.sign(agent, token)
                agent.stop()

    def test_desktop_that_the_bus_can_start(self):
        """Many are started by the bus when the first notification comes."""
        services = self.the_bus.dir / "services"
        services.mkdir()
        started = self.the_bus.dir / "started"
        (services / "org.freedesktop.Notifications.service").write_text(
            "[D-BUS Service]\nName=org.freedesktop.Notifications\n"
            f"Exec=/usr/bin/touch {started}\n")
        config = self.the_bus.dir / "bus.conf"
        config.write_text(config.read_text().replace(
            "  <policy", f"  <servicedir>{services}</servicedir>\n  <policy"))
        self.the_bus.stop()
        self.the_bus.start()
        token, agent = self.touchy()
        self.assertFalse(started.exists())  # not before there is something to show
        self.sign(agent, token)
        self.assertTrue(started.exists())


if __name__ == "__main__":
    main()
