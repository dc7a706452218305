# SPDX-License-Identifier: Apache-2.0
"""The rows of the table: what is measured, against what, and what was promised.

A row measures its peers in turns, round after round, and gives one value per claim and round; the
table shows the medians. The first turn of each peer is a warm-up and is thrown away.
"""

import contextlib
import os
import statistics
import subprocess
from dataclasses import dataclass, field

import cards
import harness
import pcsc
from clients import Broken, Clients, descriptor_count, pin, resident_kib
from peers import BENCH, P11_KIT_CLIENT, PKCS11_MODULE

ONE_CORE = {1} if (os.cpu_count() or 1) > 1 else {0}
ALL_CORES = os.sched_getaffinity(0)


@dataclass
class Claim:
    """One promise of a row: a median that must lie on one side of a limit."""
    text: str     # e.g. "p50 / direct"
    limit: float
    at_least: bool = False
    unit: str = ""
    values: list = field(default_factory=list)

    @property
    def median(self):
        return statistics.median(self.values)

    @property
    def is_met(self):
        return self.median >= self.limit if self.at_least else self.median <= self.limit


@dataclass
class Result:
    name: str
    claims: list
    absolute: dict  # peer or quantity: (median, unit)
    note: str = ""


@dataclass
class Options:
    rounds: int = 5
    seconds: float = 1.0
    starts: int = 200      # fresh processes per round
    many_starts: int = 1000
    signatures: int = 1000000
    certificates: int = 1000
    insertions: int = 20  # of a card


@contextlib.contextmanager
def clients_of(bench, specs, cpus):
    """{name: Clients}, all started and on @cpus; @specs: name -> function that makes Clients."""
    standing = {}
    try:
        for name, make in specs.items():
            standing[name] = make()
        for name, clients in standing.items():
            pin(clients.pids(), cpus)
            if name in bench.KINDS:
                pin(bench.peer(name).pids, cpus)
        yield standing
    finally:
        for clients in standing.values():
            clients.end()


def rounds_of(options, standing, request):
    """Yields {name: Sample} per round, peers in turns; fails when some work failed."""
    for clients in standing.values():
        request(clients, warm_up=True)
    for _ in range(options.rounds):
        samples = {}
        for name, clients in standing.items():
            samples[name] = request(clients, warm_up=False)
            if samples[name].failures:
                raise Broken(f"{name}: {samples[name].failures} failures")
        yield samples


def signing(bench, options, kind, peers, claims, quantity, cpus=None, processes=1, args=(),
            ours="agent"):
    """A row of signing clients. @quantity: what is taken of a Sample, with its unit. @ours: the
    peer that the claims are about."""
    take, unit = quantity
    specs = {name: lambda name=name: bench.peer(name).clients(kind, processes, args)
             for name in peers}
    values = {name: [] for name in peers}

    def request(clients, warm_up):
        return clients.run(min(options.seconds, 0.3) if warm_up else options.seconds)

    with clients_of(bench, specs, cpus or ALL_CORES) as standing:
        for samples in rounds_of(options, standing, request):
            for name, sample in samples.items():
                values[name].append(take(sample))
            for claim in claims:
                base = claim.text.rpartition("/ ")[2]
                claim.values.append(take(samples[ours]) / take(samples[base]))
    return {name: (statistics.median(v), unit) for name, v in values.items()}


P50 = (lambda sample: sample.p50, "us")
RATE = (lambda sample: sample.rate, "/s")
SPREAD = (lambda sample: sample.p99 / sample.p50, "p99/p50")


def row_ec_one_core(bench, options):
    claims = [Claim("p50 / direct", 1.30), Claim("p50 / p11-kit", 0.87)]
    values = signing(bench, options, "ec", ["direct", "floor", "p11-kit", "pem", "agent"], claims,
                     P50, ONE_CORE)
    return Result("P-256, 1 client, one core", claims, values)


def row_rsa_one_core(bench, options):
    claims = [Claim("p50 / direct", 1.08)]
    values = signing(bench, options, "rsa", ["direct", "p11-kit", "pem", "agent"], claims, P50,
                     ONE_CORE)
    return Result("RSA-2048, 1 client, one core", claims, values)


def row_ec_idle_cores(bench, options):
    claims = [Claim("p50 / p11-kit", 0.75)]
    values = signing(bench, options, "ec", ["direct", "floor", "p11-kit", "agent"], claims, P50)
    return Result("P-256, 1 client, idle cores", claims, values)


def row_ec_8_both_cores(bench, options):
    claims = [Claim("rate / p11-kit", 1.2, at_least=True),
              Claim("rate / direct", 0.7, at_least=True)]
    values = signing(bench, options, "ec", ["direct", "p11-kit", "agent"], claims, RATE,
                     processes=8)
    return Result("P-256, 8 client processes, both cores", claims, values)


def row_ec_8_one_core(bench, options):
    claims = [Claim("rate / p11-kit", 1.6, at_least=True)]
    values = signing(bench, options, "ec", ["direct", "p11-kit", "agent"], claims, RATE, ONE_CORE,
                     processes=8)
    return Result("P-256, 8 client processes, one core", claims, values)


def row_rsa_4_threads(bench, options):
    claims = [Claim("rate / direct", 0.9, at_least=True)]
    values = signing(bench, options, "rsa", ["direct", "p11-kit", "agent"], claims, RATE,
                     args=["--threads", "4"])
    return Result("RSA-2048, 4 threads, one connection", claims, values)


def row_rsa_16_fairness(bench, options):
    """The spread of the agent's own latencies; the peers' are shown beside it."""
    peers = {"direct threads": lambda: bench.peer("direct").clients("rsa", 1, ["--threads", "16"]),
             "p11-kit": lambda: bench.peer("p11-kit").clients("rsa", 16),
             "agent": lambda: bench.peer("agent").clients("rsa", 16)}
    claim = Claim("p99 / p50", 2.0)
    values = {name: [] for name in peers}

    def request(clients, warm_up):
        return clients.run(0.3 if warm_up else max(options.seconds, 0.5))

    with clients_of(bench, peers, ALL_CORES) as standing:
        for samples in rounds_of(options, standing, request):
            for name, sample in samples.items():
                values[name].append(SPREAD[0](sample))
            claim.values.append(SPREAD[0](samples["agent"]))
    return Result("RSA-2048, 16 clients, fairness", [claim],
                  {name: (statistics.median(v), SPREAD[1]) for name, v in values.items()})


def spawning(bench, options, specs, claims, ours="agent"):
    """A row of fresh processes, one after the other; ratios of the median times."""
    values = {name: [] for name in specs}

    def request(clients, warm_up):
        return clients.spawn(5 if warm_up else options.starts)

    with clients_of(bench, specs, ALL_CORES) as standing:
        for samples in rounds_of(options, standing, request):
            for name, sample in samples.items():
                values[name].append(sample.p50)
            for claim in claims:
                base = claim.text.rpartition("/ ")[2]
                claim.values.append(samples[ours].p50 / samples[base].p50)
    return {name: (statistics.median(v), "us") for name, v in values.items()}


def row_fresh_process(bench, options):
    claims = [Claim("p50 / direct", 0.22)]
    specs = {name: lambda name=name: bench.peer(name).spawner("ec")
             for name in ("direct", "p11-kit", "agent")}
    specs["fork and exec"] = lambda: Clients([([BENCH / "bench-spawn", "/bin/true"], {})])
    return Result("fresh process to first signature", claims,
                  spawning(bench, options, specs, claims))


def row_fresh_many(bench, options):
    """Failures of eight processes that start together."""
    claim = Claim("failures", 0)
    direct_starts = min(options.many_starts, 240)
    with clients_of(bench, {"direct": lambda: bench.peer("direct").spawner("ec"),
                            "agent": lambda: bench.peer("agent").spawner("ec")},
                    ALL_CORES) as standing:
        direct = standing["direct"].spawn(direct_starts, 8)
        agent = standing["agent"].spawn(options.many_starts, 8)
    claim.values.append(agent.failures)
    return Result(f"8 fresh processes at once, {options.many_starts} starts", [claim],
                  {"agent": (agent.failures, "failed"),
                   "direct": (100 * direct.failures / direct_starts, "% failed")})


def openssl_conf(bench, name, text):
    path = bench.dir / name
    path.write_text("openssl_conf = init\n[init]\n" + text)
    return {"OPENSSL_CONF": str(path)}


def agent_openssl(bench):
    """(key reference file, environment) with which OpenSSL signs through the agent."""
    agent = bench.peer("agent")
    reference = bench.dir / "reference.pem"
    env = {**os.environ, **agent.environment}
    if not reference.exists():
        done = subprocess.run([harness.MTLS_BIN, "key-ref", "ec", "-o", reference], env=env,
                              capture_output=True, text=True, check=False)
        if done.returncode:
            raise Broken(f"mtls key-ref: {done.stderr}")
    conf = openssl_conf(bench, "provider.cnf",
                        "providers = providers\n[providers]\ndefault = software\n"
                        "mtls-agent = agent\n[software]\nactivate = 1\n[agent]\n"
                        f"module = {harness.PROVIDER_DIR}/mtls-agent.so\nactivate = 1\n")
    return reference, {**agent.environment, **conf}


def engine_openssl(bench, peer, module, env):
    """(key URI, environment) with which OpenSSL's pkcs11 engine signs."""
    conf = openssl_conf(bench, f"engine-{peer}.cnf",
                        "engines = engines\n[engines]\npkcs11 = pkcs11\n[pkcs11]\n"
                        f"engine_id = pkcs11\nMODULE_PATH = {module}\ninit = 0\n")
    return f"pkcs11:token=bench;object=ec;type=private?pin-value={bench.master.pin}", {**env, **conf}


def check_dn(bench, command, env, name):
    """The server saw the certificate: what it verified comes back in the page."""
    done = subprocess.run([*map(os.fspath, command)], env={**os.environ, **env}, text=True,
                          capture_output=True, check=False)
    if f"CN={name}" not in done.stdout:
        raise Broken(f"no mutual TLS with {name}: {done.stdout} {done.stderr}")


def curl_command(bench):
    return ["curl", "--silent", "--show-error", "--cacert", bench.server.ca]


def engine_curl(bench, peer, module, environment):
    """(command, environment, subject) of a curl with the pkcs11 engine over a module."""
    uri, env = engine_openssl(bench, peer, module, environment)
    return ([*curl_command(bench), "--engine", "pkcs11", "--key-type", "ENG", "--cert", bench.cert,
             "--key", uri, bench.server.url], env, "ec")


def fresh_curls(bench, options, commands, claims, ours):
    """A row of fresh curls; @commands: name -> (command, environment, subject)."""
    specs = {}
    pin([bench.server.process.pid], ALL_CORES)
    for name, (command, environment, subject) in commands.items():
        check_dn(bench, command, environment, subject)
        specs[name] = lambda command=command, environment=environment: Clients(
            [([BENCH / "bench-spawn", *command], environment)])
    options = Options(**{**vars(options), "starts": max(options.starts // 4, 5)})
    return spawning(bench, options, specs, claims, ours)


def engine_direct(bench):
    return engine_curl(bench, "direct", harness.MODULE,
                       {"SOFTHSM2_CONF": str(bench.token_copy().conf)})


def row_fresh_curl(bench, options):
    claims = [Claim("p50 / pem", 1.10)]
    server, pem = bench.server, bench.peer("pem")
    reference, env = agent_openssl(bench)
    curl = curl_command(bench)
    commands = {
        "pem": ([*curl, "--cert", pem.cert, "--key", pem.keys["ec"], server.url], {}, "pem"),
        "engine, direct": engine_direct(bench),
        "agent": ([*curl, "--cert", bench.cert, "--key", reference, server.url], env, "ec"),
    }
    return Result("fresh curl with mutual TLS", claims,
                  fresh_curls(bench, options, commands, claims, "agent"))


def row_module_one_core(bench, options):
    claims = [Claim("p50 / p11-kit", 0.90)]
    values = signing(bench, options, "ec", ["direct", "p11-kit", "agent", "module"], claims, P50,
                     ONE_CORE, ours="module")
    return Result("PKCS#11 module: P-256, one core", claims, values)


def row_module_idle_cores(bench, options):
    claims = [Claim("p50 / p11-kit", 0.75)]
    values = signing(bench, options, "ec", ["direct", "p11-kit", "agent", "module"], claims, P50,
                     ours="module")
    return Result("PKCS#11 module: P-256, idle cores", claims, values)


def row_module_rsa_4_threads(bench, options):
    claims = [Claim("rate / direct", 0.9, at_least=True)]
    values = signing(bench, options, "rsa", ["direct", "p11-kit", "module"], claims, RATE,
                     args=["--threads", "4"], ours="module")
    return Result("PKCS#11 module: RSA-2048, 4 threads", claims, values)


def row_module_fresh_process(bench, options):
    claims = [Claim("p50 / direct", 0.40), Claim("p50 / p11-kit", 0.26)]
    specs = {name: lambda name=name: bench.peer(name).spawner("ec")
             for name in ("direct", "p11-kit", "module")}
    return Result("PKCS#11 module: fresh process", claims,
                  spawning(bench, options, specs, claims, "module"))


def row_module_fresh_curl(bench, options):
    claims = [Claim("p50 / direct", 0.95), Claim("p50 / p11-kit", 0.6)]
    p11_kit, module = bench.peer("p11-kit"), bench.peer("module")
    commands = {
        "direct": engine_direct(bench),
        "p11-kit": engine_curl(bench, "p11-kit", P11_KIT_CLIENT, p11_kit.environment),
        "module": engine_curl(bench, "module", PKCS11_MODULE, module.environment),
    }
    return Result("PKCS#11 module: curl with the engine", claims,
                  fresh_curls(bench, options, commands, claims, "module"))


def row_module_list(bench, options):
    """`pkcs11-tool -O` on a token with very many certificates, keys and public keys."""
    claim = Claim("p50", 100.0, unit="ms")
    with bench.token_with_certificates(options.certificates) as daemon:
        tool = ["pkcs11-tool", "-O", "--module", PKCS11_MODULE]
        shown = subprocess.run([*map(os.fspath, tool)], env={**os.environ, **daemon}, text=True,
                               capture_output=True, check=False).stdout
        if shown.count("Certificate Object") != options.certificates:
            raise Broken(f"{shown.count('Certificate Object')} certificates are shown")
        with clients_of(bench, {"tool": lambda: Clients([([BENCH / "bench-spawn", *tool], daemon)])},
                        ALL_CORES) as standing:
            for _ in range(options.rounds):
                claim.values.append(standing["tool"].spawn(5).p50 / 1000)
    return Result(f"pkcs11-tool -O, {options.certificates} certificates", [claim], {})


def handshakes(bench, options, processes, claims):
    server, pem = bench.server, bench.peer("pem")
    pin([server.process.pid], ALL_CORES)
    p11_kit = bench.peer("p11-kit")
    reference, env = agent_openssl(bench)
    uri, p11_env = engine_openssl(bench, "p11-kit", P11_KIT_CLIENT, p11_kit.environment)
    words = [BENCH / "bench-handshake", str(server.port), server.ca]
    commands = {"pem": ([*words, pem.cert, pem.keys["ec"]], {}),
                "p11-kit": ([*words, bench.cert, f"engine:{uri}"], p11_env),
                "agent": ([*words, bench.cert, reference], env)}
    curl = ["curl", "--silent", "--show-error", "--cacert", server.ca, server.url, "--cert"]
    check_dn(bench, [*curl, pem.cert, "--key", pem.keys["ec"]], {}, "pem")
    check_dn(bench, [*curl, bench.cert, "--key", reference], env, "ec")
    specs = {name: lambda command=command: Clients([command] * processes)
             for name, command in commands.items()}
    values = {name: [] for name in specs}

    def request(clients, warm_up):
        return clients.run(0.3 if warm_up else options.seconds)

    with clients_of(bench, specs, ALL_CORES) as standing:
        for samples in rounds_of(options, standing, request):
            for name, sample in samples.items():
                values[name].append(sample.rate)
            for claim in claims:
                base = claim.text.rpartition("/ ")[2]
                claim.values.append(samples["agent"].rate / samples[base].rate)
    return {name: (statistics.median(v), "/s") for name, v in values.items()}


def row_handshakes_1(bench, options):
    claims = [Claim("rate / pem", 0.93, at_least=True), Claim("rate / p11-kit", 1.0, at_least=True)]
    return Result("TLS 1.3 handshakes, 1 client", claims, handshakes(bench, options, 1, claims))


def row_handshakes_4(bench, options):
    claims = [Claim("rate / pem", 0.90, at_least=True), Claim("rate / p11-kit", 1.0, at_least=True)]
    return Result("TLS 1.3 handshakes, 4 clients", claims, handshakes(bench, options, 4, claims))


def row_idle_clients(bench, _options):
    """Memory of the core with a thousand clients that said hello and then nothing."""
    claim = Claim("core resident", 8.0, unit="MiB")
    daemon = bench.peer("agent").daemon
    before = resident_kib(daemon.pid)
    clients, note = [], ""
    try:
        while len(clients) < 1000 and not note:
            try:
                clients.append(daemon.connect())
            except (harness.Refused, OSError, AssertionError, EOFError) as error:
                note = f"only {len(clients)} connected: {error}"
        after = resident_kib(daemon.pid)
    finally:
        for client in clients:
            client.close()
    claim.values.append(after / 1024 if not note else float("inf"))
    return Result("1,000 idle clients", [claim],
                  {"before": (before / 1024, "MiB"), "after": (after / 1024, "MiB"),
                   "per client": ((after - before) / max(len(clients), 1), "KiB")}, note)


def row_growth(bench, options):
    """Memory and descriptors of core and workers, after a warm-up and after very many signatures."""
    daemon = bench.peer("agent").daemon
    memory, files = Claim("core growth", 64, unit="KiB"), Claim("core descriptors", 0)
    worker_memory = Claim("worker growth", 512, unit="KiB")
    with clients_of(bench, {"agent": lambda: bench.peer("agent").clients("ec", 4)},
                    ALL_CORES) as standing:
        clients, done = standing["agent"], 0
        done += clients.run(2.0).count
        pids = [daemon.pid, *daemon.workers()]
        before = {pid: resident_kib(pid) for pid in pids}
        open_before = descriptor_count(daemon.pid)
        while done < options.signatures:
            done += clients.run(2.0).count
        growth = {pid: resident_kib(pid) - before[pid] for pid in pids}
        files.values.append(descriptor_count(daemon.pid) - open_before)
    memory.values.append(growth[daemon.pid])
    worker_memory.values.append(max(growth[pid] for pid in pids[1:]))
    return Result(f"growth over {done} signatures", [memory, worker_memory, files],
                  {"core": (before[daemon.pid], "KiB"),
                   "workers": (sum(before[pid] for pid in pids[1:]), "KiB")})


def reinsertion(options, name, reader, yubikey=""):
    """From a card that is put in to the first signature of a request that waits for it."""
    claims = [Claim("p50", 2000, unit="ms"), Claim("max", 2000, unit="ms")]
    title = f"card put in, {name}"
    if cards.missing():
        return Result(title, [], {}, cards.missing())
    ours, direct = [], []
    with cards.card_bench(reader, yubikey) as card:
        for _ in range(options.insertions):
            ours.append(card.agent_ms())
            direct.append(card.direct_ms())
    claims[0].values.append(statistics.median(ours))
    claims[1].values.append(max(ours))
    return Result(title, claims, {"agent": (statistics.median(ours), "ms"),
                                  "pkcs11-tool": (statistics.median(direct), "ms"),
                                  "pkcs11-tool, max": (max(direct), "ms")})


def row_card_opensc(_bench, options):
    return reinsertion(options, "OpenSC", pcsc.GENERIC)


def row_card_ykcs11(_bench, options):
    return reinsertion(options, "ykcs11", pcsc.YUBIKEY, "5.4.3")


ROWS = {
    "ec-one-core": row_ec_one_core,
    "rsa-one-core": row_rsa_one_core,
    "ec-idle-cores": row_ec_idle_cores,
    "ec-8-both-cores": row_ec_8_both_cores,
    "ec-8-one-core": row_ec_8_one_core,
    "rsa-4-threads": row_rsa_4_threads,
    "rsa-16-fairness": row_rsa_16_fairness,
    "fresh-process": row_fresh_process,
    "fresh-many": row_fresh_many,
    "fresh-curl": row_fresh_curl,
    "module-one-core": row_module_one_core,
    "module-idle-cores": row_module_idle_cores,
    "module-rsa-4-threads": row_module_rsa_4_threads,
    "module-fresh-process": row_module_fresh_process,
    "module-fresh-curl": row_module_fresh_curl,
    "module-list": row_module_list,
    "handshakes-1": row_handshakes_1,
    "handshakes-4": row_handshakes_4,
    "card-opensc": row_card_opensc,
    "card-ykcs11": row_card_ykcs11,
    "idle-clients": row_idle_clients,
    "growth": row_growth,
}
