# SPDX-License-Identifier: Apache-2.0
"""Two ways to do one thing, timed by turns in one run, so that what the machine does besides falls on both: medians, and the
median of the ratios of neighbours."""

import os
import pathlib
import statistics
import subprocess
import sys
import time

BIN = pathlib.Path(os.environ["COLMEIA_BIN"])
SCRATCH = os.environ["COLMEIA_E2E"]


class Run:
    def __init__(self, seconds, cpu, peak_mib):
        self.seconds, self.cpu, self.peak_mib = seconds, cpu, peak_mib


def timed(command, env=None, out=subprocess.DEVNULL, input=None):
    """One command to its end: wall time, processor time and peak memory by the kernel's account."""
    start = time.perf_counter()
    process = subprocess.Popen([str(c) for c in command], stdout=out, stderr=subprocess.PIPE, stdin=input, env={**os.environ, **(env or {})})
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: {said.decode()}")
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def warm(size=4 << 30):
    """A virtual machine gives pages that lie free back to its host, and the next to use one pays for getting it again, two to
    five times what the page cache costs else. So all that a run may need is touched right before it."""
    code = f"import mmap; mmap.mmap(-1, {size}, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE)"
    subprocess.run([sys.executable, "-c", code], check=True)  # elsewhere, or it would count as the peak of what we start


def compare(ways, times=5):
    """`ways`: name -> function that does it once and returns a Run; by turns, after one round unmeasured. The first is ours.
    Returns rows of (name, median seconds, median CPU, peak MiB, median of (its seconds / ours))."""
    runs = {name: [] for name in ways}
    for turn in range(times + 1):
        for name, once in ways.items():
            os.sync()  # nobody pays for what the one before left to be written
            warm()
            run = once()
            if turn > 0:
                runs[name].append(run)
    ours = [r.seconds for r in next(iter(runs.values()))]
    return [
        (
            name,
            statistics.median(r.seconds for r in rs),
            statistics.median(r.cpu for r in rs),
            max(r.peak_mib for r in rs),
            statistics.median(r.seconds / o for r, o in zip(rs, ours)),
        )
        for name, rs in runs.items()
    ]


def show(title, rows):
    print(f"\n{title}\n{'':38} {'seconds':>9} {'CPU s':>7} {'peak MiB':>9} {'times ours':>11}")
    for name, seconds, cpu, peak, ratio in rows:
        print(f"{name:38} {seconds:9.3f} {cpu:7.2f} {peak:9.0f} {ratio:11.2f}", flush=True)


def noise(path, size):
    """A file of random bytes, in the page cache."""
    with open(path, "wb") as file:
        for _ in range(size >> 20):
            file.write(os.urandom(1 << 20))
    return path
