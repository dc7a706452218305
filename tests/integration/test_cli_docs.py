# SPDX-License-Identifier: Apache-2.0
"""The manual and the completions say what the code does: options, commands, settings, functions.

The programs' own help and the sources are the truth; the pages (docs/man) and completions
(docs/completion) are compared with it, both ways.
"""

import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from harness import AGENT_BIN, BUILD_ROOT, MTLS_BIN

SOURCE_ROOT = Path(os.environ.get("MTLS_SOURCE_ROOT") or Path(__file__).resolve().parents[2])
MAN = SOURCE_ROOT / "docs/man"
COMPLETION = SOURCE_ROOT / "docs/completion"
OPTION = r"--[a-z][a-z-]*|(?<![\w-])-[a-zA-Z](?![\w-])"


def output(*args):
    return subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=60,
                          check=True).stdout


def help_commands():
    """What `mtls --help` lists."""
    commands = output(MTLS_BIN, "--help").partition("Commands:\n")[2].partition("\n\n")[0]
    return re.findall(r"(?m)^  ([a-z-]+) ", commands)


def help_options(text):
    """{--json}, {-o, --output} ...: the options that the help of a program or command lists."""
    options = set()
    for line in re.findall(r"(?m)^  (-.*)$", text):
        options |= set(re.findall(OPTION, re.split(r"\s{2,}", line)[0]))
    return options


def command_options(command):
    return help_options(output(MTLS_BIN, command, "--help"))


def page(name):
    return (MAN / f"{name}.scd").read_text()


def section(text, title, level="##"):
    """The part of a page under one header."""
    found = re.search(rf"(?ms)^{level} {re.escape(title)}\n(.*?)(?=^#{{1,{len(level)}}} |\Z)", text)
    if not found:
        raise AssertionError(f"no header {level} {title}")
    return found.group(1)


def defined_options(text):
    """Options that a page defines: lines that stand out and are followed by an indented text."""
    lines = re.findall(r"(?m)^(\*-.*)\n\t", text)
    return set(re.findall(OPTION, " ".join(lines)))


class TestManualOfMtls(unittest.TestCase):
    def test_every_command_has_its_section_and_no_other_does(self):
        headers = re.findall(r"(?m)^## (\S+)$", section(page("mtls.1"), "COMMANDS", "#"))
        self.assertEqual(headers, help_commands())

    def test_every_option_is_explained_and_no_other_is(self):
        for command in help_commands():
            if command == "help":
                continue
            with self.subTest(command):
                self.assertEqual(defined_options(section(page("mtls.1"), command)),
                                 command_options(command) - {"-h", "--help"})

    def test_global_options(self):
        self.assertEqual(defined_options(section(page("mtls.1"), "OPTIONS", "#")),
                         help_options(output(MTLS_BIN, "--help")))

    def test_synopsis_has_every_command(self):
        synopsis = section(page("mtls.1"), "SYNOPSIS", "#")
        for command in help_commands():
            if command != "help":
                self.assertIn(f"*mtls* *{command}*", synopsis)

    def test_every_exit_code_is_explained(self):
        header = (SOURCE_ROOT / "client/cli/cli.h").read_text()
        codes = re.findall(r"(?m)^    CLI_\w+ = (\d+),", header)
        documented = re.findall(r"(?m)^\*(\d+)\*$", section(page("mtls.1"), "EXIT STATUS", "#"))
        self.assertEqual(documented, codes)

    def test_every_variable_of_run_is_explained(self):
        text = section(page("mtls.1"), "run")
        for name in ("MTLS_CERT", "MTLS_KEY", "OPENSSL_CONF", "MTLS_AGENT_SOCK"):
            self.assertIn(f"*{name}*\n\t", text)
            self.assertIn(name, output(MTLS_BIN, "run", "--help"))

    def test_every_program_of_setup_is_explained(self):
        programs = re.search(r"PROGRAM: (.*?)\.\n", output(MTLS_BIN, "setup", "--help")).group(1)
        lines = re.findall(r"(?m)^(\*[a-z*, ]+\*)\n\t", section(page("mtls.1"), "setup"))
        self.assertEqual(re.findall(r"[a-z]+", " ".join(lines)),
                         re.findall(r"(?!or\b)\b[a-z]+", programs))


class TestManualOfTheAgent(unittest.TestCase):
    def test_options(self):
        if not os.access(AGENT_BIN, os.X_OK):
            self.skipTest("mtls-agent is not built")
        self.assertEqual(defined_options(section(page("mtls-agent.1"), "OPTIONS", "#")),
                         help_options(output(AGENT_BIN, "--help")))

    def test_environment_of_modules(self):
        source = (SOURCE_ROOT / "agent/helper_process.c").read_text()
        table = re.search(r"helper_allowed\[\] = \{(.*?)#if", source, re.S).group(1)
        text = section(page("mtls-agent.1"), "ENVIRONMENT", "#").replace("\\*", "*")
        paragraph = re.search(r"Modules and PIN commands.*?: (.*?)\.\n", text, re.S).group(1)
        self.assertEqual(re.findall(r'"([A-Z0-9_*]+)"', table),
                         re.findall(r"[A-Z][A-Z0-9_*]+", paragraph))


class TestManualOfTheConfiguration(unittest.TestCase):
    SECTIONS = {"AGENT": "[agent]", "MODULE": "[module NAME]", "TOKEN": "[token NAME]",
                "KEY": "[key NAME]"}

    def test_every_setting_is_explained_and_no_other_is(self):
        source = (SOURCE_ROOT / "agent/config_rows.c").read_text()
        rows = re.findall(r'\{SECTION_(\w+), "([a-z-]+)",', source)
        self.assertTrue(rows)
        for name, title in self.SECTIONS.items():
            with self.subTest(title):
                text = section(page("mtls-agent.conf.5"), title, "#")
                self.assertEqual(re.findall(r"(?m)^\*([a-z-]+)\* =", text),
                                 [key for row, key in rows if row == name])

    def test_the_default_timeout(self):
        header = (SOURCE_ROOT / "agent/config.h").read_text()
        seconds = int(re.search(r"CONFIG_TIMEOUT_MS_DEFAULT (\d+)u", header).group(1)) // 1000
        text = section(page("mtls-agent.conf.5"), "[module NAME]", "#")
        self.assertIn(f"Default: {seconds}s.", " ".join(text.split()))

    def test_the_most_workers(self):
        header = (SOURCE_ROOT / "agent/config.h").read_text()
        most = re.search(r"CONFIG_WORKERS_MAX (\d+)u", header).group(1)
        self.assertIn(f"_1_ to _{most}_", page("mtls-agent.conf.5"))

    def test_the_examples_are_accepted(self):
        """But for the modules and files, which this machine need not have."""
        if not os.access(AGENT_BIN, os.X_OK):
            self.skipTest("mtls-agent is not built")
        examples = re.findall(r"```\n(.*?)```", section(page("mtls-agent.conf.5"), "EXAMPLES", "#"),
                              re.S)
        self.assertTrue(examples)
        for example in examples:
            with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
                file.write(re.sub(r"(?m)^users = .*$", "users = root", example))
                file.flush()
                done = subprocess.run([AGENT_BIN, "--check-config", "--config", file.name],
                                      capture_output=True, text=True, timeout=60, check=False)
            problems = [line for line in done.stderr.splitlines()
                        if not re.search(r"No such file|has no path", line)]
            self.assertEqual(problems, [], example)


class TestManualOfTheLibrary(unittest.TestCase):
    def functions(self):
        header = (SOURCE_ROOT / "client/lib/mtls-agent.h").read_text()
        code = re.sub(r"/\*.*?\*/", "", header, flags=re.S)
        return set(re.findall(r"\b(mtls_agent_\w+)\(", code))

    def test_every_function_is_named_and_no_other_is(self):
        self.assertEqual(set(re.findall(r"\*(mtls_agent_\w+)\*\(\)", page("libmtls-agent.3"))),
                         self.functions())

    def test_every_function_is_exported_and_no_other_is(self):
        exports = (SOURCE_ROOT / "client/lib/libmtls-agent.map").read_text()
        self.assertEqual(set(re.findall(r"\b(mtls_agent_\w+);", exports)), self.functions())

    def test_every_code_is_explained(self):
        header = (SOURCE_ROOT / "client/lib/mtls-agent.h").read_text()
        self.assertEqual(set(re.findall(r"\*(MTLS_AGENT_(?:OK|E_\w+))\*", page("libmtls-agent.3"))),
                         set(re.findall(r"(?m)^    (MTLS_AGENT_(?:OK|E_\w+)) = ", header)))

    def test_the_example_compiles(self):
        compiler = shutil.which("cc")
        if not compiler:
            self.skipTest("no compiler")
        example = re.search(r"```\n(#include.*?)```", page("libmtls-agent.3"), re.S).group(1)
        flags = output("pkg-config", "--cflags", "openssl").split()
        done = subprocess.run([compiler, "-std=c11", "-Wall", "-Wextra", "-Werror",
                               "-Wno-sign-compare", f"-I{SOURCE_ROOT}/client/lib", *flags,
                               "-fsyntax-only", "-x", "c", "-"],
                              input=example.replace("\\\\", "\\"), capture_output=True, text=True,
                              timeout=60, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))


class TestManualPages(unittest.TestCase):
    def test_pages_refer_to_pages_that_are_there(self):
        own = {path.name.removesuffix(".scd") for path in MAN.glob("*.scd")}
        for path in MAN.glob("*.scd"):
            for name, number in re.findall(r"\*((?:lib)?mtls[a-z.-]*)\*\((\d)\)", path.read_text()):
                self.assertIn(f"{name}.{number}", own, path.name)

    def test_pages_are_without_warnings(self):
        if not shutil.which("man") or not list((BUILD_ROOT / "docs").glob("*.[1-9]")):
            self.skipTest("no man, or no pages were built")
        for path in (BUILD_ROOT / "docs").glob("*.[1-9]"):
            done = subprocess.run(["man", "--warnings", "-l", path], capture_output=True, text=True,
                                  env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80",
                                       "MANPAGER": "cat"}, timeout=60, check=False)
            self.assertEqual(done.stderr, "", path.name)


class TestBashCompletion(unittest.TestCase):
    def complete(self, *words):
        """What the last word could become."""
        script = ('PATH="$1:$PATH"; source "$2"; shift 2; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))\n'
                  '_mtls 2>/dev/null; printf "%s\\n" "${COMPREPLY[@]}"')
        done = subprocess.run(["bash", "-c", script, "bash", str(self.bin), COMPLETION / "mtls.bash",
                               "mtls", *words], capture_output=True, text=True, timeout=60,
                              check=True)
        return done.stdout.split("\n")[:-1]

    def setUp(self):
        self.bin = Path(tempfile.mkdtemp(prefix="mtls-completion-"))
        self.addCleanup(shutil.rmtree, self.bin)
        script = self.bin / "mtls"
        script.write_text('#!/bin/sh\ncase $1 in\nlist) printf \'[\\n  {\\n    "name": "my key",\\n'
                          '    "hash": "x",\\n    "label": "no",\\n  },\\n  {\\n    "name": "other",\\n'
                          '  }\\n]\\n\' ;;\nstatus) printf \'{\\n  "tokens": [\\n    {\\n'
                          '      "label": "card",\\n    }\\n  ]\\n}\\n\' ;;\nesac\n')
        script.chmod(0o755)

    def test_commands(self):
        self.assertEqual(sorted(self.complete("")), sorted(help_commands()))
        self.assertEqual(self.complete("key"), ["key-ref"])
        self.assertEqual(sorted(self.complete("help", "")), sorted(help_commands()))

    def test_options(self):
        for command in help_commands():
            if command == "help":
                continue
            with self.subTest(command):
                expected = {o for o in command_options(command) if o.startswith("--")}
                self.assertEqual(set(self.complete(command, "-")), expected)
        self.assertEqual(set(self.complete("-")), {"--version", "--help"})

    def test_keys_and_tokens(self):
        for words in (["cert"], ["key-ref"], ["test"], ["list"], ["run", "--key"], ["env", "-k"]):
            with self.subTest(words=words):
                self.assertEqual(self.complete(*words, ""), ["my\\ key", "other"])
        self.assertEqual(self.complete("test", "o"), ["other"])
        self.assertEqual(self.complete("run", "--key", "="), ["my\\ key", "other"])
        self.assertEqual(self.complete("env", "--key", "=", "o"), ["other"])
        for command in ("unlock", "lock"):
            self.assertEqual(self.complete(command, ""), ["card"])

    def test_programs_of_setup(self):
        programs = re.search(r"PROGRAM: (.*?)\.\n", output(MTLS_BIN, "setup", "--help")).group(1)
        self.assertEqual(self.complete("setup", ""), re.findall(r"(?!or\b)\b[a-z]+", programs))
        self.assertEqual(self.complete("setup", "--key", ""), ["my\\ key", "other"])

    def test_an_agent_that_hangs_does_not_hold_the_shell(self):
        script = self.bin / "mtls"
        script.write_text("#!/bin/sh\nexec sleep 600\n")
        self.assertEqual(self.complete("test", ""), [""])

    def test_the_command_of_run(self):
        self.assertIn("cat", self.complete("run", "--", "ca"))
        self.assertIn("cat", self.complete("run", "-k", "work", "ca"))
        self.assertIn("cat", self.complete("run", "--key", "=", "work", "ca"))
        self.assertEqual(self.complete("run", "cat", "--", "--json"), [""])


class TestZshCompletion(unittest.TestCase):
    TEXT = (COMPLETION / "_mtls").read_text()

    def test_programs_of_setup(self):
        bash = (COMPLETION / "mtls.bash").read_text()
        programs = re.search(r"setup\) _mtls_reply_words '(.*?)'", bash).group(1)
        self.assertIn(f"'1:program:({programs})'", self.TEXT)

    def test_commands(self):
        self.assertEqual(re.findall(r"(?m)^        '([a-z-]+):", self.TEXT), help_commands())

    def test_options(self):
        for command in help_commands():
            if command == "help":
                continue
            with self.subTest(command):
                branch = re.search(rf"(?ms)^    {command}\)\n(.*?);;", self.TEXT).group(1)
                specs = re.findall(r"(?:'\([^']*\)')?(\{[^}]*\}|'--[a-z-]+\[)", branch)
                self.assertEqual(set(re.findall(OPTION, " ".join(specs))),
                                 command_options(command) - {"-h", "--help"})

    @unittest.skipUnless(shutil.which("zsh"), "no zsh")
    def test_it_is_zsh(self):
        done = subprocess.run(["zsh", "-n", COMPLETION / "_mtls"], capture_output=True, text=True,
                              timeout=60, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main(verbosity=2)
