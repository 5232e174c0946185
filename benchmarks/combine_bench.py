#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sealing and combining a 1 GiB model of random values with 4 updates, from files to files; arguments are combine_bench's."""

import json
import os
import subprocess
import sys

from benchmarks.machine import report

program = os.path.join(os.environ["COLMEIA_BIN"], "benchmarks", "combine_bench")
*table, figures = subprocess.run([program, *sys.argv[1:]], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
print("\n".join(table))
report("combine", **json.loads(figures))
