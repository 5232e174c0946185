# SPDX-License-Identifier: Apache-2.0
"""Nothing acknowledged is lost: a program killed at a named point and started again ends in the undisturbed run's model."""

import signal

from tests.e2e.harness import Study, run, wait_for

COORDINATOR_POINTS = [
    "round-opened:2", "task-sent:4", "gateway-block:5", "accepted-before-commit:4", "accepted-after-commit:4", "before-acknowledge:5",
    "combine-start:2", "combine-window:2", "combine-before-finish:2", "combine-done:2", "record-stored:2", "closed-before-head:2",
    "head-written:2",
]
WORKER_POINTS = [
    "worker-task-journalled:2", "worker-fetched:2", "worker-trained:2", "seal-before-sync:2", "seal-after-sync:2",
    "worker-sealed-before-journal:2", "worker-sealed:2", "upload-block:4", "worker-uploaded:2", "worker-before-submit:2",
    "worker-accepted-before-commit:2", "worker-accepted:2",
]


class ACrash(Study):
    def reference(self):
        other = type(self)()
        other.setUp()
        try:
            other.study()
            return other.run_study()
        finally:
            other.clean_up()

    def killed(self, victim, point):
        """Runs a study in which `victim` dies at `point` and is started again."""
        expected = self.reference()
        self.study()
        start = lambda name, fault=None: self.start_coordinator(fault) if name == "coordinator" else self.start_worker(name, fault)
        running = {name: start(name, f"{point}=kill" if name == victim else None) for name in ["coordinator", *self.sites]}
        self.assertEqual(running[victim].wait(), -signal.SIGKILL, f"{point} was not reached:\n{running[victim].text()}")
        running[victim] = start(victim)
        for name, process in running.items():
            self.assertEqual(process.wait(), 0, f"{name}:\n{process.text()}")
        self.assertEqual(self.verify(), expected)
        for r in self.events("coordinator", "round"):
            self.assertEqual((r["answered"], r["refused"]), (3, 0))

    def test_a_worker_that_is_frozen_does_not_hold_the_round_past_its_deadline(self):
        self.study(sites=3, quorum=2, minimum=3, deadline=3, schedule='"moments 1", "fedavg 2"')
        coordinator = self.start_coordinator()
        workers = [self.start_worker(name) for name in self.sites]
        self.wait_event("coordinator", "round", 1)
        workers[2].stop()
        self.assertEqual(coordinator.wait(), 0, coordinator.text())
        rounds = self.events("coordinator", "round")
        self.assertEqual(rounds[-1]["answered"], 2)
        self.verify()

    def test_both_killed_at_once_again_and_again(self):
        expected = self.reference()
        self.study()
        for n in range(1, 6):
            running = [self.start_coordinator()] + [self.start_worker(name) for name in self.sites]
            wait_for(f"round {n}", lambda: len(self.events("coordinator", "round-opened")) >= n or running[0].child.poll() is not None)
            for process in running:
                process.kill()
        running = [self.start_coordinator()] + [self.start_worker(name) for name in self.sites]
        for process in running:
            self.assertEqual(process.wait(), 0, process.text())
        self.assertEqual(self.verify(), expected)


def add(name, victim, point):
    setattr(ACrash, name, lambda self: self.killed(victim, point))


for point in COORDINATOR_POINTS:
    add(f"test_coordinator_killed_at_{point.split(':')[0].replace('-', '_')}", "coordinator", point)
for point in WORKER_POINTS:
    add(f"test_worker_killed_at_{point.split(':')[0].replace('-', '_')}", "site-2", point)


class DamagedDisk(Study):
    def half_a_study(self):
        """A study killed in its third round; nothing runs any more."""
        self.study(schedule='"moments 1", "fedavg 40"')
        running = [self.start_coordinator()] + [self.start_worker(name) for name in self.sites]
        self.wait_event("coordinator", "round", 3)
        for process in running:
            process.kill()

    def journals(self):
        return sorted((self.coordinator_dir / "journal").iterdir())

    def test_a_flipped_byte_in_an_old_journal_file_is_named_by_verify(self):
        self.half_a_study()
        victim = self.journals()[0]
        data = bytearray(victim.read_bytes())
        data[len(data) // 2] ^= 1
        victim.write_bytes(data)
        done = self.verify(check=1)
        self.assertIn(victim.name, done.stderr)
        self.assertRegex(done.stderr, r"offset|byte")

    def test_damage_before_the_last_frame_stops_the_coordinator_and_names_the_offset(self):
        self.half_a_study()
        victim = self.journals()[-1]
        if victim.stat().st_size < 400:
            victim = self.journals()[-2]
            self.journals()[-1].unlink()
        data = bytearray(victim.read_bytes())
        data[60] ^= 1
        victim.write_bytes(data)
        done = run("colmeia-coordinator", "run", self.coordinator_dir, check=None)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(victim.name, done.stderr)
        self.assertEqual(victim.read_bytes(), bytes(data))

    def test_a_damaged_last_frame_is_cut_and_a_workers_receipt_stops_the_coordinator(self):
        self.study(quorum=3, schedule='"moments 1", "fedavg 2"')
        coordinator = self.start_coordinator()
        workers = [self.start_worker(name) for name in ("site-1", "site-2")]
        third = self.start_worker("site-3", fault="worker-fetched=stop")  # so that the round stays open
        self.wait_event("site-1", "accepted")
        self.wait_event("site-2", "accepted")
        for process in (coordinator, *workers, third):
            process.kill()
        victim = self.journals()[-1]
        data = bytearray(victim.read_bytes())
        data[-40] ^= 1  # in the frame that holds the last acknowledgement
        victim.write_bytes(data)
        coordinator = self.start_coordinator()
        for name in ("site-1", "site-2"):
            self.start_worker(name)
        self.assertEqual(coordinator.wait(), 3, coordinator.text())
        self.assertIn("cut", coordinator.text())
        self.assertRegex(coordinator.text(), "receipt")

    def test_a_coordinator_set_back_to_yesterday_is_stopped_by_a_workers_receipt(self):
        self.half_a_study()
        for journal in self.journals()[-2:]:  # two rounds that sites have receipts and heads of
            journal.unlink()
        (self.coordinator_dir / "head").unlink()
        coordinator = self.start_coordinator()
        self.start_worker("site-1")
        self.assertNotEqual(coordinator.wait(), 0)
        self.assertIn("site-1", coordinator.text())
        self.assertRegex(coordinator.text(), "back|older|backup")
