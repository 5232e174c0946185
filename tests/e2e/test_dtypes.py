# SPDX-License-Identifier: Apache-2.0
"""Models of every dtype that can be averaged: each round's next model is, bit by bit, what docs/numerics.md's formula gives in
another language."""

import sys

import numpy

from tests.e2e import mixed
from tests.e2e.harness import ROOT, Study, run

TRAINER = ROOT / "tests/e2e/mixed.py"
ROUNDS = 3
LARGE = 150_000  # more than a shard


def some(dtype, count, least, most, seed):
    """Values of both signs and of many exponents, and those at the ends of what the dtype has."""
    chance = numpy.random.default_rng(seed)
    values = chance.choice([-1.0, 1.0], count) * numpy.ldexp(chance.uniform(1, 2, count), chance.integers(least, most, count))
    values[:6] = [0.0, -0.0, 1.0, -1.0, numpy.ldexp(1.0, least), -numpy.ldexp(1.5, most)]
    return dtype, mixed.narrow(dtype, values)


def a_model():
    return {
        "wide": some("F64", 1000, -1000, 60, 1),
        "weight": some("F32", LARGE, -149, 30, 2),
        "half": some("F16", LARGE, -24, 14, 3),
        "brain": some("BF16", LARGE + 1, -133, 40, 4),
        # The last of each goes down past 0: some sites' values are negative, others' are not.
        "count.steps": ("I64", numpy.array([7, -7, 2**53, 2**62, -(2**62), 2], "<i8")),
        "count.small": ("I32", numpy.array([5, 2], "<i4")),
        "table": ("I32", numpy.arange(-50, 50, dtype="<i4")),
        "flags": ("I8", numpy.array([1, 0, -1], "<i1")),
    }


def average(base, news, weights):
    """The next model: docs/numerics.md, "The delta" and "The average", in roster order."""
    following = {}
    for name, (dtype, old) in base.items():
        if dtype[0] in "FB":
            total = numpy.zeros(len(old))
            for new, n in zip(news, weights):
                delta = mixed.widen(dtype, new[name][1]) - mixed.widen(dtype, old)
                if dtype != "F64":
                    delta = delta.astype("<f4").astype("<f8")
                total = total + n * delta
            old = mixed.narrow(dtype, mixed.widen(dtype, old) + total / float(sum(weights)))
        elif name.startswith("count."):
            old = numpy.maximum.reduce([new[name][1] for new in news])
        following[name] = (dtype, old)
    return following


def add_constant(base, site):
    """What the built-in trainer `constant` makes of a base: F32 is added to in single precision."""
    amount, new = 0.001 * float(site + 1), {}
    for name, (dtype, values) in base.items():
        if dtype == "F32":
            values = values + numpy.float32(amount)
        elif dtype[0] in "FB":
            values = mixed.narrow(dtype, mixed.widen(dtype, values) + amount)
        new[name] = (dtype, values)
    return new


class Dtypes(Study):
    def a_study(self, sites, trainer, **changes):
        model = self.dir / "mixed.safetensors"
        mixed.save(model, a_model())
        self.init(model=model, architecture="external", uses='largest = ["count.steps", "count.small"]', trainer=trainer,
                  schedule=f'"fedavg {ROUNDS}"', **changes)
        for i in range(1, sites + 1):
            self.admit(self.worker_init(f"site-{i}"))

    def model(self, cid):
        path = self.dir / "got.safetensors"
        run("colmeia", "get", cid, "--store", self.coordinator_dir, "--force", "-o", path)
        return mixed.load(path)

    def assert_models(self, train, weights):
        """Every round's model follows from the one before and from what `train` makes of it at the sites that count."""
        base = a_model()
        for line in self.events("coordinator", "round"):
            news = [train(base, site) for site in range(len(weights))]
            expected, found = average(base, news, weights), self.model(line["model"])
            self.assertEqual(set(found), set(expected))
            for name, (dtype, values) in expected.items():
                self.assertEqual(found[name][0], dtype, name)
                bits = f"<u{values.itemsize}"
                wrong = numpy.flatnonzero(found[name][1].view(bits) != values.view(bits))
                told = f"round {line['round']}, {name}: {found[name][1][wrong[:5]]}, not {values[wrong[:5]]}"
                self.assertEqual(list(wrong), [], told)
            base = found
        self.assertEqual(line["round"], ROUNDS)

    def test_floats_of_four_kinds_are_averaged_by_the_formula(self):
        self.a_study(3, "constant")
        self.run_study()
        self.assert_models(add_constant, [1, 1, 1])

    def test_counters_take_the_largest_and_who_changes_a_fixed_tensor_is_declined_at_home(self):
        self.a_study(4, "program", minimum=4, quorum=3)
        for name in self.sites:
            self.set_trainer(name, sys.executable, TRAINER, *(["spoil"] if name == "site-4" else []))
        self.run_study()
        self.assert_models(mixed.train, [mixed.weight(site) for site in range(3)])
        self.assertEqual([(r["answered"], r["refused"]) for r in self.events("coordinator", "round")], [(3, 1)] * ROUNDS)
        refused = self.events("coordinator", "update-refused")
        self.assertEqual([(r["site"], r["code"]) for r in refused], [("site-4", "trainer-layout")] * ROUNDS)
        declined = self.events("site-4", "declined")
        self.assertEqual([e["code"] for e in declined], ["trainer-layout"] * ROUNDS)
        for line in declined:
            self.assertRegex(line["sentence"], "the trainer changed tensor (table|flags), which the plan says is fixed")
