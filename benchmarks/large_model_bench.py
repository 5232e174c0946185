#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""large model: a whole round of a model of random values (COLMEIA_MODEL_MIB, 1024 if unset) with four workers, by the test
trainer `constant` inside the worker, and by a program that does the same behind the trainer contract (COLMEIA_TRAINER: one of
`constant`, `program`). Peak memory is the kernel's own account of each process. Needs about 30 times the model of disk. Two
rounds are run: the first is cold (models are fetched for the first time), the second warm, as far as the machine keeps its
memory: a virtual one that hands freed pages back to its host touches new ones in every round (results.md)."""

import os
import pathlib
import sys
import threading
import time

from benchmarks.machine import report
from tests.e2e.harness import ROOT, Study, children, run

MIB = int(os.environ.get("COLMEIA_MODEL_MIB", "1024"))
TRAINERS = [os.environ["COLMEIA_TRAINER"]] if os.environ.get("COLMEIA_TRAINER") else ["constant", "program"]
SITES = 4
ROUNDS = 2
STAGES = ["fetched", "trained", "sealed", "uploaded"]


class Watch(threading.Thread):
    """Peak resident memory of workers, and of the programs that they started, each by itself: wait4 would add them up."""

    def __init__(self, workers):
        super().__init__(daemon=True)
        self.workers = workers
        self.worker = self.trainer = 0  # MiB
        self.start()

    @staticmethod
    def peak(pid):
        try:
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return 0
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024 if "VmHWM:" in status else 0

    def run(self):
        while any(w.child.returncode is None for w in self.workers):
            for w in self.workers:
                self.worker = max(self.worker, self.peak(w.child.pid))
                self.trainer = max([self.trainer, *map(self.peak, children(w.child.pid))])
            time.sleep(0.1)


def end(process):
    """Waits for a program; what it and what it started used."""
    _, status, usage = os.wait4(process.child.pid, 0)
    process.child.returncode = os.waitstatus_to_exitcode(status)
    assert process.child.returncode == 0, process.text()
    return usage


def stages(study, number):
    """Seconds of each stage at the first site."""
    events = [e for e in study.events("site-1") if e.get("round") == number]
    return {stage: next((e["seconds"] for e in events if e["event"] == stage), float("nan")) for stage in STAGES}


def prepare(study, trainer):
    model = study.dir / "model.safetensors"
    run("colmeia", "model", "new", "--random", MIB << 20, "--seed", 1, "-o", model)
    study.init(model=model, architecture="external", trainer=trainer, schedule=f'"fedavg {ROUNDS}"', minimum=SITES, quorum=SITES,
               deadline=3600, keep_updates=1, keep_models=1)
    model.unlink()
    for i in range(1, SITES + 1):
        study.admit(study.worker_init(f"site-{i}"))
        if trainer == "program":
            study.set_trainer(f"site-{i}", sys.executable, ROOT / "tests/e2e/adder.py")


def measure(study, trainer):
    prepare(study, trainer)
    start = time.monotonic()
    coordinator = study.start_coordinator()
    workers = [study.start_worker(name) for name in study.sites]
    watch = Watch(workers)
    usage = [end(process) for process in (coordinator, *workers)]
    whole = time.monotonic() - start
    watch.join()
    rounds = study.events("coordinator", "round")
    accepted = study.events("coordinator", "update-accepted")
    print(f"trainer {trainer}, {MIB} MiB, {SITES} sites")
    for number, line in enumerate(rounds, 1):
        received = sum(a["bytes"] for a in accepted if a["round"] == number)
        assert received >= SITES * (MIB << 20), "nothing is saved by deduplication"
        site = stages(study, number)
        print(f"round {number} ({'cold' if number == 1 else 'warm'}): {line['seconds']:.1f} s; at a site: fetch {site['fetched']:.1f}, train {site['trained']:.1f}, "
              f"seal {site['sealed']:.1f}, upload {site['uploaded']:.1f}; collect {line['seconds_collect']:.1f}, combine {line['seconds_combine']:.1f} s; "
              f"{received} bytes received")
    peak = usage[0].ru_maxrss / 1024
    user, system = (sum(getattr(u, what) for u in usage) for what in ("ru_utime", "ru_stime"))
    print(f"peak memory: coordinator {peak:.0f} MiB, worker {watch.worker:.0f} MiB, its trainer {watch.trainer:.0f} MiB; "
          f"wall {whole:.1f} s, user {user:.1f} s, sys {system:.1f} s")
    report("large_model", trainer=trainer, model_mib=MIB, sites=SITES, round_cold_s=round(rounds[0]["seconds"], 1), round_warm_s=round(rounds[-1]["seconds"], 1),
           warm_stages_s={stage: round(seconds, 1) for stage, seconds in site.items()}, combine_warm_s=round(rounds[-1]["seconds_combine"], 1),
           received_bytes=received, coordinator_peak_mib=round(peak), worker_peak_mib=round(watch.worker), trainer_peak_mib=round(watch.trainer),
           user_s=round(user, 1), sys_s=round(system, 1))
    assert len(rounds) == ROUNDS
    return peak <= 256 and watch.worker <= 256


def main():
    good = True
    for trainer in TRAINERS:
        study = Study()
        study.setUp()
        try:
            good &= measure(study, trainer)
        finally:
            study.clean_up()
    return 0 if good else 1


sys.exit(main())
