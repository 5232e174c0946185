#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""breast cancer: is it worth it? The demo's study over ten seeded splits: accuracy on the test set of each site alone, of the
federated model and of all data pooled, on average."""

import json
import statistics
import subprocess
import sys

from benchmarks.machine import report
from tests.e2e.harness import ROOT, Study, run

EXAMPLE = ROOT / "examples/breast-cancer"
HOSPITALS = ["university-clinic", "city-hospital", "screening-centre", "tumour-centre", "country-hospital"]


def accuracy(study, model):
    done = run("colmeia", "model", "evaluate", "--model", model, "--data", study.dir / "data/test.csv", "--target", "benign", "--json")
    return 100 * json.loads(done.stdout)["accuracy"]


def trained(study, name):
    out = study.dir / f"{name}.safetensors"
    run("colmeia", "model", "train", "--plan", EXAMPLE / "plan.toml", "--data", study.dir / f"data/{name}.csv", "-o", out)
    return accuracy(study, out)


def split(seed):
    study = Study()
    study.setUp()
    try:
        subprocess.run([EXAMPLE / "split", str(seed), study.dir / "data"], check=True)
        study.invitation = run("colmeia-coordinator", "init", study.coordinator_dir, "--plan", EXAMPLE / "plan.toml", "--listen", "127.0.0.1:0").stdout.strip()
        for name in HOSPITALS:
            study.admit(study.worker_init(name, data=(study.dir / f"data/{name}.csv").read_text()))
        run("colmeia", "get", study.run_study(), "--store", study.coordinator_dir, "-o", study.dir / "final.safetensors")
        return (statistics.mean(trained(study, name) for name in HOSPITALS), accuracy(study, study.dir / "final.safetensors"),
                trained(study, "pooled"))
    finally:
        study.clean_up()


def main():
    print(f"{'seed':>5} {'alone %':>8} {'federated %':>12} {'pooled %':>9}")
    results = []
    for seed in range(1, 11):
        results.append(split(seed))
        print(f"{seed:5} {results[-1][0]:8.2f} {results[-1][1]:12.2f} {results[-1][2]:9.2f}", flush=True)
    alone, federated, pooled = (statistics.mean(r[i] for r in results) for i in range(3))
    print(f" mean {alone:8.2f} {federated:12.2f} {pooled:9.2f}")
    report("breast_cancer", splits=10, alone=round(alone, 2), federated=round(federated, 2), pooled=round(pooled, 2), gap=round(pooled - federated, 2))
    return 0 if pooled - federated <= 0.5 and federated > alone else 1


sys.exit(main())
