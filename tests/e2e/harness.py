# SPDX-License-Identifier: Apache-2.0
"""What end-to-end tests share: a study of real processes on loopback, in a folder of its own that goes away.

The programs are those of the tree named by COLMEIA_BIN (a test build, so that failpoints work); nothing here knows how
they work inside. Every wait has a generous limit and says what it waited for."""

import base64
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("COLMEIA_BIN", ROOT / "build/test"))
WAIT_SECONDS = 120

PLAN = """
seed = {seed}

[study]
name = "{name}"

[model]
architecture = "{architecture}"
features = {features}
classes = 2
{uses}

[data]
target = "label"

[rounds]
schedule = [{schedule}]
minimum = {minimum}
quorum = {quorum}
fraction = {fraction}
deadline_seconds = {deadline}

[training]
trainer = "{trainer}"
epochs = 2
batch = 8
learning_rate = 0.1
weight_decay = 0.001
{training}

[retention]
updates = {keep_updates}
models = {keep_models}
"""


def plan(**changes):
    values = dict(seed=7, name="e2e", architecture="logistic", features=3, minimum=3, quorum=2, fraction=1.0, deadline=60,
                  schedule='"moments 1", "fedavg 3", "evaluate 1"', trainer="native", training="", uses="", keep_updates=0, keep_models=0)
    values.update(changes)
    return PLAN.format(**values)


def table(rows, seed):
    """A small data set that a line separates, by a generator of our own: the same on every machine."""
    lines, state = ["a,b,c,label"], seed * 2654435761 % 2**32
    for _ in range(rows):
        values = []
        for _ in range(3):
            state = (1664525 * state + 1013904223) % 2**32
            values.append(state / 2**32 * 10 - 3)
        lines.append(",".join(f"{v:.4f}" for v in values) + f",{int(values[0] + values[1] > values[2] + 2)}")
    return "\n".join(lines) + "\n"


def run(*command, check=0, env=None):
    """Runs one command to its end. `check`: the exit status it must have, None for any."""
    done = subprocess.run([str(BIN / command[0]), *map(str, command[1:])], capture_output=True, text=True,
                          env={**os.environ, **(env or {})}, timeout=WAIT_SECONDS)
    if check is not None and done.returncode != check:
        raise AssertionError(f"{' '.join(map(str, command))}: exit {done.returncode}, not {check}\n{done.stdout}{done.stderr}")
    return done


def wait_for(what, condition, seconds=WAIT_SECONDS):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"waited {seconds} s for {what}")


def parent_of(pid):
    """The parent of a process that still runs; None for one that has ended, buried or not."""
    try:
        state, parent = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[:2]
    except OSError:
        return None
    return None if state in "ZX" else int(parent)


def children(pid):
    """The processes that `pid` started and that still run."""
    everybody = (int(path.name) for path in pathlib.Path("/proc").glob("[0-9]*"))
    return [process for process in everybody if parent_of(process) == pid]


class Process:
    """A running program; its output goes to a file that failures show."""

    def __init__(self, log, *command, fault=None, env=None):
        self.log = pathlib.Path(log)
        environment = {**os.environ, **(env or {})}
        environment.pop("COLMEIA_FAULT", None)
        if fault:
            environment["COLMEIA_FAULT"] = fault
        with open(self.log, "ab") as out:
            self.child = subprocess.Popen([str(BIN / command[0]), *map(str, command[1:])], stdout=out, stderr=out, env=environment)

    def text(self):
        return self.log.read_text(errors="replace")

    def wait(self, seconds=WAIT_SECONDS):
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.log.name} did not end in {seconds} s:\n{self.text()}") from None

    def kill(self, number=signal.SIGKILL):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGCONT)
            self.child.send_signal(number)
        self.child.wait(WAIT_SECONDS)

    def stop(self):
        self.child.send_signal(signal.SIGSTOP)

    def resume(self):
        self.child.send_signal(signal.SIGCONT)


class Study(unittest.TestCase):
    """A test case with a folder and the commands of a study; whatever still runs at the end is killed."""

    def setUp(self):
        base = pathlib.Path(os.environ.get("COLMEIA_E2E", ROOT / "build"))
        base.mkdir(parents=True, exist_ok=True)
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="e2e-", dir=base))
        self.processes = []
        self.sites = []

    def tearDown(self):
        outcome = getattr(self, "_outcome", None)
        if outcome is not None and any(error for _, error in getattr(outcome, "errors", []) or outcome.result.errors + outcome.result.failures):
            for log in sorted(self.dir.glob("*.out")):
                print(f"--- {log.name}\n{log.read_text(errors='replace')[-4000:]}")
        self.clean_up()

    def clean_up(self):
        for process in self.processes:
            process.kill()
        if not os.environ.get("COLMEIA_KEEP"):
            shutil.rmtree(self.dir)

    # --- the README's commands

    def init(self, model=None, plan_file=None, **changes):
        path = plan_file or self.dir / "plan.toml"
        if plan_file is None:
            path.write_text(plan(**changes))
        extra = ["--model", model] if model else []
        done = run("colmeia-coordinator", "init", self.coordinator_dir, "--plan", path, "--listen", "127.0.0.1:0", *extra)
        self.invitation = done.stdout.strip()
        return self.invitation

    @property
    def coordinator_dir(self):
        return self.dir / "coordinator"

    def worker_init(self, name, rows=40, data=None):
        """`data`: the path of a file, or the text of a table; a small table of our own if it is None."""
        path = data
        if not isinstance(data, pathlib.Path):
            path = self.dir / f"{name}.csv"
            path.write_text(data if data is not None else table(rows, len(self.sites) + 1))
        site = run("colmeia-worker", "init", self.dir / name, "--name", name, "--data", path, "--study", self.invitation).stdout.strip()
        self.sites.append(name)
        return site

    def set_trainer(self, name, *command, **limits):
        """Writes the table [trainer] of a site's config.toml in place of the one that is there."""
        path = self.dir / name / "config.toml"
        lines = [path.read_text().split("\n[trainer]")[0], "[trainer]", f"command = {json.dumps([str(word) for word in command])}"]
        path.write_text("\n".join(lines + [f"{key} = {value}" for key, value in limits.items()]) + "\n")

    def trainer_digest(self, name):
        """What `colmeia-worker trainer` says after a handshake."""
        return re.search(r"\b[0-9a-f]{64}\b", run("colmeia-worker", "trainer", self.dir / name).stdout).group()

    def admit(self, site):
        return run("colmeia-coordinator", "admit", self.coordinator_dir, site)

    def study(self, sites=3, **changes):
        """A study with admitted sites site-1, site-2...; nothing runs yet."""
        self.init(**changes)
        for i in range(1, sites + 1):
            self.admit(self.worker_init(f"site-{i}", rows=20 + 17 * i))

    def random_model(self, size, seed=1):
        """A model file of `size` bytes of random f32 values."""
        path = self.dir / "model.safetensors"
        run("colmeia", "model", "new", "--random", size, "--seed", seed, "-o", path)
        return path

    def start_coordinator(self, fault=None):
        return self._start("coordinator", "colmeia-coordinator", "run", self.coordinator_dir, fault=fault)

    def start_worker(self, name, fault=None, env=None):
        return self._start(name, "colmeia-worker", "run", self.dir / name, fault=fault, env=env)

    def _start(self, name, *command, **how):
        process = Process(self.dir / f"{name}.out", *command, **how)
        self.processes.append(process)
        return process

    def run_study(self):
        """Everything started, everything ended in order; the final model's CID."""
        coordinator = self.start_coordinator()
        workers = [self.start_worker(name) for name in self.sites]
        self.assertEqual(coordinator.wait(), 0, coordinator.text())
        for worker in workers:
            self.assertEqual(worker.wait(), 0, worker.text())
        return self.verify()

    # --- what can be seen from outside

    def study_cid(self):
        return self.status()["study"]

    def status(self, name="coordinator"):
        path = self.dir / name / "status.json"
        try:
            return json.loads(path.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {}

    def events(self, name="coordinator", event=None):
        """The lines of a folder's log.jsonl, those of one event if it is named."""
        try:
            lines = (self.dir / name / "log.jsonl").read_text().splitlines()
        except FileNotFoundError:
            return []
        found = []
        for line in lines:
            try:
                found.append(json.loads(line))
            except json.JSONDecodeError:
                pass  # a line cut by a kill
        return [e for e in found if event in (None, e["event"])]

    def wait_event(self, name, event, count=1):
        return wait_for(f"{count} x {event} at {name}", lambda: len(self.events(name, event)) >= count and self.events(name, event))

    def record(self, cid, name="coordinator"):
        """A record's bytes, as a folder holds them: alone, or in the pack of its update."""
        digest = self.digest(cid)
        for path in self.dir.glob(f"{name}/**/*"):
            if path.name == cid:
                return path.read_bytes()
            if path.suffix == ".car":
                pack = path.read_bytes()
                if digest in pack:  # CID, then the block; its length is the varint before the CID
                    return pack[pack.index(digest) + len(digest):]
        raise AssertionError(f"{name} does not hold {cid}")

    @staticmethod
    def digest(cid):
        """The 32 bytes of SHA-256 in a CID's text."""
        return base64.b32decode(cid[1:].upper() + "=" * (-len(cid[1:]) % 8))[-32:]

    def verify(self, name="coordinator", check=0):
        """`colmeia verify`'s final model."""
        done = run("colmeia", "verify", self.dir / name, "--study", self.study_cid(), check=check)
        return done.stdout.strip().splitlines()[-1].rsplit("final model ", 1)[-1] if check == 0 else done
