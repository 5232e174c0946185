# SPDX-License-Identifier: Apache-2.0
"""Slow and broken links make progress, and what the plan does not keep is deleted without harm to what can be checked."""

from tests.e2e.harness import Study, run
from tests.e2e.relay import Relay

MIB = 1 << 20


class ALink(Study):
    def study_with_a_model(self, size, **changes):
        self.init(model=self.random_model(size), architecture="external", trainer="constant", schedule='"fedavg 2"', **changes)
        for i in (1, 2, 3):
            self.admit(self.worker_init(f"site-{i}"))

    def through(self, relay):
        """The study with site-2 behind the relay."""
        self.addCleanup(relay.close)
        coordinator = self.start_coordinator()
        workers = [self.start_worker(name, env={"HTTPS_PROXY": relay.url} if name == "site-2" else None) for name in self.sites]
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
        self.assertLess(relay.passed, 2 * 5 * 8 * MIB)

    def test_of_two_megabits_a_second_carries_a_model_of_a_mebibyte(self):
        self.study_with_a_model(1 * MIB)
        self.through(Relay(bytes_per_second=250_000))


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
