# SPDX-License-Identifier: Apache-2.0
"""Studies with a server optimiser: its state is recomputed, can be opened by anybody, and survives a kill."""

from tests.e2e import test_crash
from tests.e2e.harness import Study, run

KINDS = {"fedavgm": "m", "fedadagrad": "mv", "fedadam": "mv", "fedadam-corrected": "mv", "fedyogi": "mv"}
CRASHES = ["combine-before-finish:2", "state-before-finish:2", "model-before-sync:4", "model-before-rename:4", "combine-done:3",
           "record-stored:3", "closed-before-head:3"]


def server(kind):
    """The plan file's [training] ends, and [server] begins."""
    return f'\n[server]\noptimiser = "{kind}"'


class Optimisers(Study):
    def states(self):
        """Every stored state as {name: array}."""
        from safetensors.numpy import load_file
        found = [load_file(path) for path in (self.coordinator_dir / "shared/models").glob("*.safetensors")]
        return [tensors for tensors in found if any(name.startswith("m/") for name in tensors)]

    def follow(self, kind, slots):
        self.study(sites=2, minimum=2, schedule='"moments 1", "fedavg 2", "evaluate 1", "fedavg 1"', training=server(kind))
        self.run_study()
        verified = run("colmeia", "verify", self.coordinator_dir, "--study", self.study_cid()).stdout
        self.assertIn("5 rounds", verified)
        self.assertNotIn("signatures only", verified)
        states = self.states()
        self.assertEqual(len(states), 3, "one for each round that trained")
        for tensors in states:
            self.assertEqual(sorted(tensors), sorted(f"{slot}/{name}" for slot in slots for name in ("weight", "bias")))
            self.assertTrue(all(t.dtype == "float32" for t in tensors.values()))
        for name in self.sites:  # a worker has no use for it
            self.verify(name)


for kind, slots in KINDS.items():
    setattr(Optimisers, f"test_a_study_with_{kind.replace('-', '_')}_is_recomputed",
            lambda self, kind=kind, slots=slots: self.follow(kind, slots))


class OptimiserCrash(Study):
    reference = test_crash.ACrash.reference
    killed = test_crash.ACrash.killed

    def study(self, **changes):
        super().study(training=server("fedadam"), **changes)


for point in CRASHES:
    setattr(OptimiserCrash, f"test_coordinator_killed_at_{point.split(':')[0].replace('-', '_')}_ends_in_the_same_model",
            lambda self, point=point: self.killed("coordinator", point))
