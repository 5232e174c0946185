# SPDX-License-Identifier: Apache-2.0
"""What every benchmark says beside its numbers: the machine, the commit, the disk's sync."""

import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time


def fdatasync_ms(folder, times=50):
    """Median of an append of 200 bytes and its fdatasync."""
    seconds = []
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        for _ in range(times):
            start = time.perf_counter()
            file.write(b"x" * 200)
            file.flush()
            os.fdatasync(file.fileno())
            seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds)


def describe():
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    return {"cpu": cpu, "cores": os.cpu_count(), "kernel": os.uname().release, "commit": commit}


def is_tmpfs(folder):
    best = ("", "")
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        _, mount, kind, *_ = line.split()
        if str(pathlib.Path(folder).resolve()).startswith(mount) and len(mount) > len(best[0]):
            best = (mount, kind)
    return best[1] == "tmpfs"


def report(subject, **figures):
    print(json.dumps({"benchmark": subject, **describe(), **figures}), flush=True)
