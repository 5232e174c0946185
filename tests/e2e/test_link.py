# SPDX-License-Identifier: Apache-2.0
"""Slow and broken links make progress, and what the plan does not keep is deleted without harm to what can be checked."""

from tests.e2e.harness import Study, run, wait_for
from tests.e2e.relay import Relay

MIB = 1 << 20


class ALink(Study):
    def study_with_a_model(self, size, **changes):
        self.init(model=self.random_model(size), architecture="external", trainer="constant", schedule='"fedavg 2"', **changes)
        for i in (1, 2, 3):
            self.admit(self.worker_init(f"site-{i}"))

    def through(self, relay, meanwhile=lambda: None):
        """The study with site-2 behind the relay."""
        self.addCleanup(relay.close)
        coordinator = self.start_coordinator()
        workers = [self.start_worker(name, env={"HTTPS_PROXY": relay.url} if name == "site-2" else None) for name in self.sites]
        meanwhile()
        self.assertEqual(coordinator.wait(), 0, coordinator.text())
        for worker in workers:
            self.assertEqual(worker.wait(), 0, worker.text())
        self.assertEqual([r["answered"] for r in self.events("coordinator", "round")], [3, 3])
        self.assertGreater(relay.connections, 0)
        self.verify()

    def test_that_is_cut_every_three_mebibytes_carries_an_update_of_eight(self):
        self.study_with_a_model(8 * MIB)
        relay = Relay(cut_bytes=3 * MIB)
        self.through(relay)
        self.assertGreater(relay.connections, 8)
        # Three models down, two updates up; each cut costs a block at most, and what was under way in six requests.
        self.assertLess(relay.passed, 3 * 5 * 8 * MIB)  # a cut loses what is in flight: on a busy machine 2.1 times was seen

    def test_of_two_megabits_a_second_carries_a_model_of_a_mebibyte(self):
        self.study_with_a_model(1 * MIB)
        self.through(Relay(bytes_per_second=250_000), self.see_progress)

    def see_progress(self):
        """Who receives says how far a slow transfer is, and how long it will take. (A sender's kernel takes a mebibyte at once.)"""
        for name, what in (("site-2", "fetching the model"), ("coordinator", "receiving updates")):
            def moving():
                found = self.status(name).get("progress")
                return found if found and found["what"] == what and found["per_second"] and found["seconds_left"] else None
            found = wait_for(f"{what} at {name}", moving)
            self.assertEqual(found["unit"], "bytes")
            self.assertLess(found["per_second"], 1_000_000)
            self.assertLess(found["done"], found["total"])
            self.assertGreater(found["total"], 1 * MIB)
            self.assertRegex(found["sentence"], f"^{what}: [0-9]+ of [0-9]+ KiB, [0-9.]+ [KM]iB/s, [0-9]+ s left$")


class Retention(Study):
    def test_updates_gone_by_plan_leave_signatures_to_check(self):
        self.study(schedule='"moments 1", "fedavg 6"', keep_updates=2, keep_models=2)
        final = self.run_study()
        packs = sorted((self.coordinator_dir / "updates").glob("*/*"))
        self.assertEqual(len(packs), 2 * 3, packs)
        models = list((self.coordinator_dir / "shared/models").glob("*.safetensors"))
        self.assertLessEqual(len(models), 3)
        done = run("colmeia", "verify", self.coordinator_dir, "--study", self.study_cid(), "-v")
        self.assertIn("signatures only", done.stdout + done.stderr)
        self.assertIn(f"final model {final}", done.stdout)
        for name in self.sites:
            self.assertLessEqual(len(list((self.dir / name / "shared/models").glob("*.safetensors"))), 2)

    def test_an_update_missing_without_leave_of_the_plan_is_found(self):
        self.study()
        self.run_study()
        victim = sorted((self.coordinator_dir / "updates").glob("*/*"))[0]
        victim.unlink()
        done = self.verify(check=1)
        self.assertIn("round 1", done.stderr)
