#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""gateway: requests a second for blocks of 1 KiB and MB/s for blocks of 1 MiB, by wrk, beside nginx with the same bytes as files
and Kubo's gateway. Each for a few seconds, by turns."""

import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

from benchmarks.get_bench import gateway, nginx
from benchmarks.machine import report
from benchmarks.paired import BIN, SCRATCH
from tests.interop.kubo import Kubo

SECONDS = int(os.environ.get("SECONDS", 4))
TURNS = int(os.environ.get("TURNS", 5))
COUNT = {1 << 10: 1000, 1 << 20: 200}


def wrk(folder, urls):
    """Requests a second and MB/s over keep-alive connections, the URLs one after the other."""
    script = folder / "urls.lua"
    paths = ",".join('"%s"' % u.split("/", 3)[3] for u in urls)
    script.write_text(f'local p = {{{paths}}}\nlocal i = 0\nrequest = function() i = i % #p + 1; return wrk.format("GET", "/" .. p[i]) end\n')
    base = "/".join(urls[0].split("/")[:3])
    said = subprocess.run(["wrk", "-t1", "-c16", f"-d{SECONDS}s", "-s", script, base], capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in said, said
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said).group(1))
    return rate


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="gateway-", dir=SCRATCH))
    kubo, processes, figures = Kubo("unixfs-v1-2025", folder), [], {}
    try:
        store, files = folder / "store", folder / "files"
        files.mkdir()
        names = {size: [] for size in COUNT}
        for size, count in COUNT.items():
            part = folder / str(size)
            part.mkdir()
            for i in range(count):
                (part / str(i)).write_bytes(os.urandom(size))
            said = subprocess.run([BIN / "colmeia", "add", "-q", "--store", store, *sorted(part.iterdir())], capture_output=True, text=True, check=True).stdout.split()
            kubo("add", "-Q", "-r", part)
            for cid, file in zip(said, sorted(part.iterdir())):
                names[size].append(cid)
                shutil.copy(file, files / cid)
        server, url = gateway(store)
        web, web_url = nginx(folder, files)
        processes = [server, web]
        kubo.start()
        print(f"{'':10} {'colmeia':>10} {'nginx':>10} {'kubo':>10}   ours / nginx, ours / kubo (medians of ratios)")
        for size in COUNT:
            rates = {"colmeia": [], "nginx": [], "kubo": []}
            for _ in range(TURNS):
                rates["colmeia"].append(wrk(folder, [f"{url}/ipfs/{c}?format=raw" for c in names[size]]))
                rates["nginx"].append(wrk(folder, [f"{web_url}/{c}" for c in names[size]]))
                rates["kubo"].append(wrk(folder, [f"{kubo.gateway}/ipfs/{c}?format=raw" for c in names[size]]))
            scale, unit = (1, "req/s") if size == 1 << 10 else (size / 1e6, "MB/s")
            medians = {k: statistics.median(v) * scale for k, v in rates.items()}
            ratios = {k: statistics.median(a / b for a, b in zip(rates["colmeia"], rates[k])) for k in ("nginx", "kubo")}
            label = f"{size >> 10} KiB"
            print(f"{label:10} {medians['colmeia']:10.0f} {medians['nginx']:10.0f} {medians['kubo']:10.0f}   {ratios['nginx']:.2f}, {ratios['kubo']:.2f}  {unit}", flush=True)
            figures[f"kib_{size >> 10}"] = {**{k: round(v) for k, v in medians.items()}, "to_nginx": round(ratios["nginx"], 2), "to_kubo": round(ratios["kubo"], 2)}
        report("gateway", **figures)
    finally:
        for process in processes:
            process.terminate()
            process.wait()
        kubo.close()
        shutil.rmtree(folder, ignore_errors=True)


sys.exit(main())
