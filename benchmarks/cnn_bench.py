#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""cnn: the example in PyTorch learns MNIST over five sites, each a worker and its trainer as processes of their own. MNIST is
the folder with its four IDX files; the 60,000 digits are shuffled and dealt in five equal parts. The table is the accuracy on
MNIST's 10,000 test digits after each of CNN_ROUNDS (10) rounds of one epoch. CNN_EXAMPLES: no more than so many a site."""

import gzip
import json
import os
import pathlib
import subprocess
import sys
import time

import numpy

from benchmarks.machine import report
from tests.e2e.harness import ROOT, Study, run

CNN = ROOT / "examples/digits/cnn.py"
ROUNDS = int(os.environ.get("CNN_ROUNDS", "10"))
EXAMPLES = int(os.environ.get("CNN_EXAMPLES", "12000"))
SITES = 5
PLAN = f"""
seed = 1
[study]
name = "cnn"
[model]
architecture = "external"
largest = ["bn1.num_batches_tracked", "bn2.num_batches_tracked"]
[rounds]
schedule = ["fedavg {ROUNDS}"]
minimum = {SITES}
[training]
trainer = "program"
epochs = 1
batch = 32
learning_rate = 0.05
momentum = 0.5
"""


def idx(folder, name):
    """The header of an IDX file up to its first dimension, and its values, one example a row."""
    path = next(folder.glob(f"{name}*"))
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    rank = data[3]
    shape = numpy.frombuffer(data, ">u4", rank, 4)
    return data, numpy.frombuffer(data, numpy.uint8, offset=4 + 4 * rank).reshape(shape)


def deal(folder, out):
    """Writes each site's images and labels; the paths of the images."""
    (head_x, x), (head_y, y) = idx(folder, "train-images"), idx(folder, "train-labels")
    order = numpy.random.default_rng(1).permutation(len(x))
    paths = []
    for site in range(SITES):
        mine = order[site::SITES][:EXAMPLES]
        path = out / f"site-{site + 1}-images-idx3-ubyte"
        count = len(mine).to_bytes(4, "big")
        path.write_bytes(head_x[:4] + count + head_x[8:16] + x[mine].tobytes())
        (out / f"site-{site + 1}-labels-idx1-ubyte").write_bytes(head_y[:4] + count + y[mine].tobytes())
        paths.append(path)
    return paths


def evaluate(study, model, test):
    out = study.dir / f"{model}.safetensors"
    run("colmeia", "get", model, "--store", study.coordinator_dir, "-o", out)
    done = subprocess.run([sys.executable, CNN, "--evaluate", out, test], check=True, capture_output=True)
    return json.loads(done.stdout)


def measure(study, mnist):
    initial = study.dir / "initial.safetensors"
    subprocess.run([sys.executable, CNN, "--new", initial, "--side", "28", "--seed", "1"], check=True)
    plan = study.dir / "plan.toml"
    plan.write_text(PLAN)
    study.init(model=initial, plan_file=plan)
    for i, path in enumerate(deal(mnist, study.dir), 1):
        study.admit(study.worker_init(f"site-{i}", data=path))
        study.set_trainer(f"site-{i}", sys.executable, CNN)
    start = time.monotonic()
    coordinator = study.start_coordinator()
    workers = [study.start_worker(name) for name in study.sites]
    assert coordinator.wait(7200) == 0, coordinator.text()
    seconds = time.monotonic() - start
    assert [worker.wait() for worker in workers] == [0] * SITES
    study.verify()
    return [r["model"] for r in study.events("coordinator", "round")], seconds


def main():
    if not os.environ.get("MNIST"):
        print("left out: give the folder with MNIST's IDX files as MNIST=DIR")
        return 0
    mnist = pathlib.Path(os.environ["MNIST"]).resolve()
    study = Study()
    study.setUp()
    try:
        models, seconds = measure(study, mnist)
        test = next(mnist.glob("t10k-images*"))
        print(f"{'round':>6} {'loss':>8} {'accuracy %':>11}")
        accuracy = []
        for number, model in enumerate(models, 1):
            found = evaluate(study, model, test)
            accuracy.append(round(100 * found["accuracy"], 2))
            print(f"{number:6} {found['loss']:8.4f} {accuracy[-1]:11.2f}", flush=True)
        report("cnn", sites=SITES, examples=SITES * EXAMPLES, rounds=ROUNDS, accuracy=accuracy, seconds_a_round=round(seconds / ROUNDS, 1))
    finally:
        study.clean_up()
    return 0


sys.exit(main())
