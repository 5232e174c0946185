#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""slow link: 8 MiB in blocks of 1 MiB over a relay of 2 Mbit/s that cuts 20 times, each after a random 0.2 to 1 MiB; from a
source that sends ranges, and from one that does not. Seconds, and bytes sent again a cut."""

import os
import sys
import time

os.environ["COLMEIA_LINK_BYTES_PER_SECOND"] = "250000"  # before the tests' module is read

from benchmarks.machine import report
from tests.e2e.test_fetch import SPEED, AFetch


def measure(ranges):
    study = AFetch("get")
    study.setUp()
    try:
        source = study.gateway if ranges else study.answering(lambda path, headers: study.block(path)).port
        link = study.link(source, study.some_cuts())
        start = time.monotonic()
        study.get("--from", link.url)
        return time.monotonic() - start, link.cut, link.passed - len(study.bytes)
    finally:
        study.doCleanups()
        study.clean_up()


def main():
    print(f"{'':18} {'seconds':>8} {'floor':>7} {'cuts':>5} {'sent again':>11} {'a cut':>10}")
    for ranges in (True, False):
        seconds, cuts, again = measure(ranges)
        name, floor = "with ranges" if ranges else "without ranges", 8 * (1 << 20) / SPEED
        print(f"{name:18} {seconds:8.1f} {floor:7.1f} {cuts:5} {again:9} B {again / cuts:8.0f} B", flush=True)
        report("slow_link", ranges=ranges, seconds=round(seconds, 1), cuts=cuts, bytes_again=again, bytes_again_a_cut=round(again / cuts))


sys.exit(main())
