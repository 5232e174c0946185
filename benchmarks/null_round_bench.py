#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""null round: what a round costs when training costs nothing. Ten floats, the test trainer `null`, every one changed every
round by every site; each round fetches a new base and each site uploads shard, index and record, which is asserted."""

import statistics
import sys

from benchmarks.machine import fdatasync_ms, is_tmpfs, report
from tests.e2e.harness import Study, run

ROUNDS = 51  # the first opens connections and is not counted


def measure(sites):
    study = Study()
    study.setUp()
    try:
        model = study.dir / "ten.safetensors"
        run("colmeia", "model", "new", "--random", 40, "--seed", 1, "-o", model)
        study.init(model=model, architecture="external", trainer="null", schedule=f'"fedavg {ROUNDS}"', minimum=sites, quorum=sites)
        for i in range(1, sites + 1):
            study.admit(study.worker_init(f"site-{i}"))
        study.run_study()
        rounds = study.events("coordinator", "round")
        accepted = study.events("coordinator", "update-accepted")
        fetched = study.events("site-1", "fetched")
        assert len(rounds) == ROUNDS and len({r["model"] for r in rounds}) == ROUNDS, "every round makes a new model"
        assert len(accepted) == ROUNDS * sites and all(a["bytes"] > 40 + 2 * 36 for a in accepted), "shard, index and record arrive"
        assert len(fetched) == ROUNDS and all(f["bytes"] > 40 for f in fetched[1:]), "each round fetches a new base"
        times = [r["time"] for r in rounds]
        return sorted(1000 * (b - a) for a, b in zip(times, times[1:])), fdatasync_ms(study.dir), is_tmpfs(study.dir)
    finally:
        study.clean_up()


def main():
    print(f"{'workers':>8} {'median ms':>10} {'p90 ms':>8} {'fdatasync ms':>13}  disk")
    for sites in (2, 8):
        ms, sync, tmpfs = measure(sites)
        median, p90 = statistics.median(ms), ms[int(0.9 * len(ms))]
        print(f"{sites:8} {median:10.1f} {p90:8.1f} {sync:13.2f}  {'tmpfs' if tmpfs else 'disk'}")
        report("null_round", workers=sites, rounds=len(ms), median_ms=round(median, 1), p90_ms=round(p90, 1), fdatasync_ms=round(sync, 3), tmpfs=tmpfs)


sys.exit(main())
