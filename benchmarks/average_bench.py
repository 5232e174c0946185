#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The exact average from memory: average_bench under several OpenBLAS kernels, one and two threads, other orders of arrival;
beside memcpy and what NumPy makes of the same sum. Every way must end in the same bits, and another roster order must not.
Exit 1 if either fails."""

import os
import subprocess
import sys
import time

from benchmarks.machine import report

try:
    import numpy
except ImportError:  # `make deps` brings it
    numpy = None

UPDATES, ELEMENTS, RUNS = 6, 1 << 23, 3
WEIGHTS = [536870911, 536870911, 536870909, 1, 402653189, 77]


def kernels():
    """By what the processor can run; each is printed as OpenBLAS names it."""
    flags = next(line for line in open("/proc/cpuinfo") if line.startswith("flags")).split()
    return ["Prescott"] + ["Haswell"] * ("avx2" in flags) + ["SkylakeX"] * ("avx512vl" in flags)


def measure(kernel):
    program = os.path.join(os.environ["COLMEIA_BIN"], "benchmarks", "average_bench")
    env = {**os.environ, "OPENBLAS_CORETYPE": kernel}
    lines = subprocess.run([program], env=env, check=True, capture_output=True, text=True).stdout.splitlines()
    return [(name, int(threads), way, float(speed), digest) for name, threads, way, speed, digest in map(str.split, lines)]


def numpy_gb_s():
    """The weighted sum as one writes it, in f64; one core."""
    if numpy is None:
        return None
    random = numpy.random.default_rng(1)
    updates = [random.standard_normal(ELEMENTS, dtype=numpy.float32) for _ in WEIGHTS]
    base = random.standard_normal(ELEMENTS, dtype=numpy.float32)
    best = float("inf")
    for _ in range(RUNS):
        start = time.perf_counter()
        total = numpy.zeros(ELEMENTS)
        for weight, update in zip(WEIGHTS, updates):
            total += weight * update.astype(numpy.float64)
        (base + total / sum(WEIGHTS)).astype(numpy.float32)
        best = min(best, time.perf_counter() - start)
    return UPDATES * ELEMENTS * 4 / best / 1e9


def main():
    rows = [row for kernel in kernels() for row in measure(kernel)]
    print(f"{'kernel':10} {'threads':>7}  {'way':14} {'GB/s':>6}  result")
    for kernel, threads, way, speed, digest in rows:
        print(f"{kernel:10} {threads:7}  {way:14} {speed:6.2f}  {digest[:16]}")
    beside = numpy_gb_s()
    print(f"{'-':10} {1:7}  {'NumPy':14} " + (f"{beside:6.2f}" if beside else "not installed"))
    same = {digest for _, _, way, _, digest in rows if way not in ("memcpy", "other-roster")}
    other = {digest for _, _, way, _, digest in rows if way == "other-roster"}
    identical, order_matters = len(same) == 1, len(other) == 1 and not other & same
    print(f"one result over kernels, threads and arrival: {'yes' if identical else 'NO'}")
    print(f"another roster order gives other bits: {'yes' if order_matters else 'NO'}")
    one = [speed for _, threads, way, speed, _ in rows if threads == 1 and way == "blas"]
    two = [speed for _, threads, way, speed, _ in rows if threads == 2 and way == "blas"]
    plain = [speed for _, threads, way, speed, _ in rows if threads == 1 and way == "plain"]
    report("average", blas_kernels=sorted({row[0] for row in rows} - {"-"}), blas_gb_s=min(one), blas_2_threads_gb_s=min(two),
           plain_gb_s=min(plain), memcpy_gb_s=max(row[3] for row in rows if row[2] == "memcpy"),
           numpy_gb_s=beside and round(beside, 3), bit_identical=identical, order_matters=order_matters, sha256=sorted(same))
    sys.exit(0 if identical and order_matters else 1)


main()
