#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""large model: a whole round of a model of random values (COLMEIA_MODEL_MIB, 1024 if unset) with four workers and the test
trainer `constant`. Peak memory is the kernel's own account of each process. Needs about 30 times the model of disk. Two
rounds are run: the first is cold (models are fetched for the first time), the second warm, as far as the machine keeps its
memory: a virtual one that hands freed pages back to its host touches new ones in every round (results.md)."""

import os
import sys
import time

from benchmarks.machine import report
from tests.e2e.harness import Study, run

MIB = int(os.environ.get("COLMEIA_MODEL_MIB", "1024"))
SITES = 4
ROUNDS = 2


def end(process, limit=1800):
    """Waits for a program; its exit status and what it used."""
    _, status, usage = os.wait4(process.child.pid, 0)
    process.child.returncode = os.waitstatus_to_exitcode(status)
    assert process.child.returncode == 0, process.text()
    return usage


def main():
    study = Study()
    study.setUp()
    try:
        model = study.dir / "model.safetensors"
        run("colmeia", "model", "new", "--random", MIB << 20, "--seed", 1, "-o", model)
        study.init(model=model, architecture="external", trainer="constant", schedule=f'"fedavg {ROUNDS}"', minimum=SITES, quorum=SITES,
                   deadline=3600, keep_updates=1, keep_models=1)
        model.unlink()
        for i in range(1, SITES + 1):
            study.admit(study.worker_init(f"site-{i}"))
        start = time.monotonic()
        coordinator = study.start_coordinator()
        workers = [study.start_worker(name) for name in study.sites]
        used = end(coordinator)
        used_by_workers = [end(w) for w in workers]
        whole = time.monotonic() - start
        rounds = study.events("coordinator", "round")
        accepted = study.events("coordinator", "update-accepted")
        for n in range(1, ROUNDS + 1):
            received = sum(a["bytes"] for a in accepted if a["round"] == n)
            assert received >= SITES * (MIB << 20), "nothing is saved by deduplication"
            line = rounds[n - 1]
            site = {e: next((x.get("seconds", float("nan")) for x in study.events("site-1", e) if x["round"] == n), float("nan")) for e in ("fetched", "trained", "sealed", "uploaded")}
            print(f"round {n} ({'cold' if n == 1 else 'warm'}): {line['seconds']:.1f} s; at a site: fetch {site['fetched']:.1f}, train {site['trained']:.1f}, "
                  f"seal {site['sealed']:.1f}, upload {site['uploaded']:.1f}; collect {line['seconds_collect']:.1f}, combine {line['seconds_combine']:.1f} s")
        peak = used.ru_maxrss / 1024
        peak_worker = max(u.ru_maxrss for u in used_by_workers) / 1024
        user = used.ru_utime + sum(u.ru_utime for u in used_by_workers)
        system = used.ru_stime + sum(u.ru_stime for u in used_by_workers)
        print(f"peak memory: coordinator {peak:.0f} MiB, worker {peak_worker:.0f} MiB; wall {whole:.1f} s, user {user:.1f} s, sys {system:.1f} s")
        report("large_model", model_mib=MIB, sites=SITES, round_cold_s=round(rounds[0]["seconds"], 1), round_warm_s=round(rounds[-1]["seconds"], 1),
               coordinator_peak_mib=round(peak), worker_peak_mib=round(peak_worker), user_s=round(user, 1), sys_s=round(system, 1))
    finally:
        study.clean_up()


sys.exit(main())
