# SPDX-License-Identifier: Apache-2.0
"""The trainer contract with real programs: two that learn, and one that does everything that it must not."""

import json
import os
import signal
import subprocess
import sys

from tests.e2e.harness import BIN, ROOT, Study, children, parent_of, run, wait_for

DIGITS = ROOT / "examples/digits"
OFFICES = ["north", "south", "east", "west", "centre"]
ADDER = ROOT / "tests/e2e/adder.py"
PYTHON = sys.executable  # the one that has safetensors

# What the adder does in round 2, and the code that names it.
TROUBLES = {
    "hang": "trainer-hung",
    "die": "trainer-died",
    "garbage": "trainer-garbage",
    "leave": "trainer-no-output",
    "no_output": "trainer-no-output",
    "nan": "trainer-not-finite",
    "layout": "trainer-layout",
    "too_large": "trainer-too-large",
    "memory": "trainer-memory",
    "error": "trainer-error",
}
LIMITS = {"hang": {"stall_seconds": 4, "grace_seconds": 1}, "memory": {"memory_mib": 200, "grace_seconds": 1}}


def attempts(worker):
    """How often its trainer began with round 2: a line of the trainer's in the worker's log, which failures quote."""
    return worker.text().count('trainer "at work on round 2"')


class Learning(Study):
    def learn(self, plan_file, command, model=None):
        """Five post offices' study by one trainer; the final model's file."""
        subprocess.run([DIGITS / "split", "1", self.dir / "data"], check=True)
        self.init(plan_file=plan_file, model=model)
        for name in OFFICES:
            self.admit(self.worker_init(name, data=self.dir / f"data/{name}.csv"))
            self.set_trainer(name, *command)
        final = self.run_study()
        digest = bytes.fromhex(self.trainer_digest("north"))
        accepted = self.events("coordinator", "update-accepted")
        self.assertEqual(len(accepted), 6 * 5)
        for line in accepted:
            self.assertIn(digest, self.record(line["record"]), "the update record names the trainer")
        rounds = self.events("coordinator", "round")
        self.assertEqual([(r["answered"], r["refused"]) for r in rounds], [(5, 0)] * 6)
        self.assertLess(rounds[0]["accuracy"], 0.3)
        out = self.dir / "final.safetensors"
        run("colmeia", "get", final, "--store", self.coordinator_dir, "-o", out)
        return out

    def test_a_network_in_pytorch_learns_the_digits_of_five_sites(self):
        initial = self.dir / "initial.safetensors"
        subprocess.run([PYTHON, DIGITS / "cnn.py", "--new", initial, "--seed", "1"], check=True)
        final = self.learn(DIGITS / "cnn.toml", [PYTHON, DIGITS / "cnn.py"], initial)
        done = subprocess.run([PYTHON, DIGITS / "cnn.py", "--evaluate", final, self.dir / "data/test.csv"], check=True, capture_output=True)
        self.assertGreater(json.loads(done.stdout)["accuracy"], 0.9)
        from safetensors.numpy import load_file
        counters = [load_file(final)[f"bn{i}.num_batches_tracked"] for i in (1, 2)]
        steps = 5 * -(-722 // 16)  # of the office with the most digits, in batches of 16
        self.assertEqual([(str(c.dtype), int(c)) for c in counters], [("int64", steps)] * 2)

    def test_a_shell_script_around_a_command_learns_them_too(self):
        final = self.learn(DIGITS / "softmax.toml", ["sh", DIGITS / "softmax.sh", BIN / "colmeia"])
        done = run("colmeia", "model", "evaluate", "--model", final, "--data", self.dir / "data/test.csv", "--target", "digit", "--json")
        self.assertGreater(json.loads(done.stdout)["accuracy"], 0.9)


class Trouble(Study):
    def study_of(self, commands, **changes):
        """A study whose sites, by name, have the adder with these words as their trainer."""
        settings = dict(architecture="external", trainer="program", schedule='"fedavg 3"', quorum=min(2, len(commands)), minimum=len(commands))
        self.init(model=self.random_model(4000), **{**settings, **changes})
        for name, words in commands.items():
            self.admit(self.worker_init(name))
            self.set_trainer(name, PYTHON, ADDER, *words, **LIMITS.get(name, {}))

    def start(self):
        return self.start_coordinator(), {name: self.start_worker(name) for name in self.sites}

    def end(self, coordinator, workers):
        self.assertEqual(coordinator.wait(), 0, coordinator.text())
        for worker in workers.values():
            self.assertEqual(worker.wait(), 0, worker.text())
        self.verify()

    def test_a_trainer_in_trouble_costs_its_site_the_round_and_is_named(self):
        self.study_of({"honest-1": [], "honest-2": [], **{name: [name, 2] for name in TROUBLES}})
        coordinator, workers = self.start()
        self.end(coordinator, workers)
        rounds = self.events("coordinator", "round")
        self.assertEqual([(r["answered"], r["refused"]) for r in rounds], [(12, 0), (2, 10), (12, 0)])
        refusals = self.events("coordinator", "update-refused")
        self.assertEqual({r["site"]: r["code"] for r in refusals}, TROUBLES)
        record = self.record(rounds[1]["record"])
        for r in refusals:
            self.assertIn(self.digest(r["refusal"]), record, "the round's record lists it")
        for name, code in TROUBLES.items():
            self.assertRegex(coordinator.text(), f"task of {name} declined \\({code}\\)")
            self.assertEqual([(e["round"], e["code"]) for e in self.events(name, "declined")], [(2, code)])
            self.assertEqual(attempts(workers[name]), 2, "a crash may be chance: it is tried twice")
        self.assertIn("patient 17", workers["error"].text())
        self.assertNotIn("patient 17", coordinator.text() + (self.coordinator_dir / "log.jsonl").read_text())

    def killed(self, victim):
        """A study of three sites in which `victim` takes a worker, in the middle of round 2, and does it harm."""
        self.study_of({"site-1": ["slow", 2], "site-2": [], "site-3": []})
        coordinator, workers = self.start()
        wait_for("training in round 2", lambda: attempts(workers["site-1"]) == 1)
        victim(workers)
        self.end(coordinator, workers)
        self.assertEqual([(r["answered"], r["refused"]) for r in self.events("coordinator", "round")], [(3, 0)] * 3)

    def test_a_killed_trainer_is_started_again_in_the_same_round(self):
        def kill(workers):
            trainers = children(workers["site-1"].child.pid)
            self.assertEqual(len(trainers), 1)
            os.kill(trainers[0], signal.SIGKILL)
        self.killed(kill)
        self.assertIn("trainer-died", self.processes[1].text())

    def test_a_killed_worker_takes_its_trainer_with_it_and_goes_on_when_started_again(self):
        def kill(workers):
            trainer = children(workers["site-1"].child.pid)[0]
            workers["site-1"].kill()
            wait_for("the trainer's end", lambda: parent_of(trainer) is None)
            workers["site-1"] = self.start_worker("site-1")
        self.killed(kill)

    def test_a_worker_killed_with_its_failure_journalled_declines_and_does_not_train_again(self):
        self.study_of({"site-1": ["die", 2], "site-2": [], "site-3": []})
        coordinator = self.start_coordinator()
        workers = {name: self.start_worker(name, "worker-declined=kill" if name == "site-1" else None) for name in self.sites}
        self.assertEqual(workers["site-1"].wait(), -signal.SIGKILL, workers["site-1"].text())
        workers["site-1"] = self.start_worker("site-1")
        self.end(coordinator, workers)
        self.assertEqual([(r["answered"], r["refused"]) for r in self.events("coordinator", "round")], [(3, 0), (2, 1), (3, 0)])
        self.assertEqual([(e["round"], e["code"]) for e in self.events("site-1", "decline-answered")], [(2, "trainer-died")])
        self.assertEqual(attempts(workers["site-1"]), 2, "both of them before it was killed")

    def test_a_plan_may_pin_the_trainer(self):
        first = Trouble()
        first.setUp()
        try:
            first.study_of({"site-1": []})
            digest = first.trainer_digest("site-1")
        finally:
            first.clean_up()
        self.study_of({"site-1": [], "site-2": [], "other": ["slow", 99]}, training=f'trainer_digest = "{digest}"')
        self.assertEqual(self.trainer_digest("site-1"), digest)
        self.assertNotEqual(self.trainer_digest("other"), digest)
        self.end(*self.start())
        self.assertEqual([(r["answered"], r["refused"]) for r in self.events("coordinator", "round")], [(2, 1)] * 3)
        self.assertEqual([(r["site"], r["code"]) for r in self.events("coordinator", "update-refused")], [("other", "trainer-digest")] * 3)
        self.assertNotIn("at work on round", (self.dir / "other.out").read_text())

    def test_a_site_without_its_program_says_so_and_goes_on_when_it_is_there(self):
        self.study_of({"site-1": [], "site-2": []})
        self.set_trainer("site-2", "no-such-program")
        coordinator, workers = self.start()
        wait_for("a sentence", lambda: "no-such-program" in workers["site-2"].text())
        self.set_trainer("site-2", PYTHON, ADDER)
        self.end(coordinator, workers)
        self.assertEqual([(r["answered"], r["refused"]) for r in self.events("coordinator", "round")], [(2, 0)] * 3)
