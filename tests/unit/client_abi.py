# SPDX-License-Identifier: Apache-2.0
"""What programs outside see of the library: its exported names, its needs, its header.

usage: client_abi.py HEADER LIBRARY MODULE CC...
"""
import re
import subprocess
import sys

HEADER, LIBRARY, MODULE, *CC = sys.argv[1:]
SANITIZERS = ("libasan", "libubsan", "libtsan", "libclang_rt")
failures = []


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def check(name, actual, expected):
    if actual != expected:
        failures.append(f"{name}: {sorted(actual)} instead of {sorted(expected)}")


def exported(path):
    lines = run("nm", "-D", "--defined-only", path).splitlines()
    names = {line.split()[-1].split("@")[0] for line in lines if line.split()[-2] != "A"}
    return {name for name in names if not name.startswith(("__asan", "__odr_asan", "__tsan"))}


def needed(path):
    names = re.findall(r"NEEDED.*\[(.*)\.so", run("readelf", "-d", path))
    return {name for name in names if not name.startswith(SANITIZERS)}


def imported(path):
    lines = run("nm", "-D", "--undefined-only", path).splitlines()
    return {line.split()[-1].split("@")[0] for line in lines}


def compiles(name, *arguments):
    result = subprocess.run([*CC, *arguments, "-Wall", "-Wextra", "-Werror", "-pedantic-errors",
                             "-fsyntax-only", HEADER], capture_output=True, text=True, check=False)
    if result.returncode:
        failures.append(f"the header is not {name}:\n{result.stderr}")


declared = set(re.findall(r"\b(mtls_agent_\w+)\(", re.sub(r"/\*.*?\*/", "", open(
    HEADER, encoding="utf-8").read(), flags=re.DOTALL)))
check("exports of the library", exported(LIBRARY), declared)
check("exports of the module", exported(MODULE), {"mtls_agent_ssl_module_0"})
check("needs of the library", needed(LIBRARY), {"libc"})
check("needs of the module", needed(MODULE), {"libmtls-agent", "libssl", "libcrypto", "libc"})
if not {"mtls_agent_sign", "mtls_agent_list"} <= imported(MODULE):
    failures.append("the module has a transport of its own, beside the library's")
if not re.search(r"SONAME.*\[libmtls-agent\.so\.0\]", run("readelf", "-d", LIBRARY)):
    failures.append("the library's soname is not libmtls-agent.so.0")
if "NODELETE" not in run("readelf", "-d", MODULE):
    failures.append("the module may be unloaded under OpenSSL")
compiles("C99", "-std=c99", "-x", "c")
compiles("C11", "-std=c11", "-x", "c")
if subprocess.run([*CC, "-x", "c++", "-fsyntax-only", "/dev/null"], capture_output=True,
                  check=False).returncode == 0:  # a compiler that has C++ at all
    compiles("C++", "-std=c++11", "-x", "c++")
for failure in failures:
    print(failure, file=sys.stderr)
sys.exit(1 if failures else 0)
