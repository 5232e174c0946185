#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""get: 1 GiB from a second process over loopback, every block verified and stored, then written out; beside Kubo to Kubo over bitswap, eight curls
of raw blocks from Kubo's gateway, and one curl of the same bytes from nginx."""

import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

from benchmarks.machine import report
from benchmarks.paired import BIN, SCRATCH, Run, compare, noise, show, timed
from tests.interop.kubo import KUBO, Kubo, free_port

SIZE = int(os.environ.get("SIZE_MIB", 1024)) << 20
TURNS = int(os.environ.get("TURNS", 5))
NGINX = """daemon off; pid {dir}/nginx.pid; error_log {dir}/nginx.err; worker_processes 2; user root;
events {{ worker_connections 1024; }}
http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; server {{ listen 127.0.0.1:{port}; root {root}; }} }}
"""


def nginx(folder, root):
    """nginx over the files in `root`; the process and its URL."""
    port = free_port()
    config = pathlib.Path(folder) / "nginx.conf"
    config.write_text(NGINX.format(dir=folder, port=port, root=root))
    process = subprocess.Popen(["nginx", "-c", str(config), "-p", str(folder)], stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    return process, f"http://127.0.0.1:{port}"


def gateway(store):
    """`colmeia gateway` over `store`; the process and its URL."""
    process = subprocess.Popen([BIN / "colmeia", "gateway", "--listen", "127.0.0.1:0", "--store", store], stdout=subprocess.PIPE, text=True)
    return process, re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline()).group(0)


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="get-", dir=SCRATCH))
    seeder, fetcher, processes = Kubo("unixfs-v1-2025", folder), None, []
    try:
        file, store, other, out = noise(folder / "file", SIZE), folder / "store", folder / "other", folder / "out"
        root = seeder.text("add", "-Q", "--progress=false", file)
        leaves = [c for c in seeder.text("refs", "-r", root).split() if c.startswith("bafk")]
        timed([BIN / "colmeia", "add", "-Q", "--no-sync", "--store", store, file])
        server, url = gateway(store)
        nginx_process, web_url = nginx(folder, folder)
        processes = [server, nginx_process]
        seeder.start()

        def ours(*options):
            def once():
                shutil.rmtree(other, ignore_errors=True)
                out.unlink(missing_ok=True)
                return timed([BIN / "colmeia", "get", "--store", other, "--from", url, root, "-o", out, *options])

            return once

        def bitswap():
            nonlocal fetcher
            fetcher = Kubo("unixfs-v1-2025", folder).start()
            fetcher("swarm", "connect", seeder.peer())
            out.unlink(missing_ok=True)
            run = timed([KUBO, "get", root, "-o", out], env=fetcher.environment())
            run.peak_mib = fetcher.peak_kib() / 1024
            fetcher.close()
            return run

        def curls(written):
            lists, blocks = [folder / f"list-{i}" for i in range(8)], folder / "blocks"
            for i, path in enumerate(lists):
                path.write_text("".join(f'url = "{seeder.gateway}/ipfs/{c}?format=raw"\noutput = "{blocks / c if written else "/dev/null"}"\n' for c in leaves[i::8]))

            def once():
                shutil.rmtree(blocks, ignore_errors=True)
                blocks.mkdir()
                start = time.perf_counter()
                with concurrent.futures.ThreadPoolExecutor(8) as pool:
                    runs = list(pool.map(lambda p: timed(["curl", "-sf", "-K", p]), lists))
                return Run(time.perf_counter() - start, sum(r.cpu for r in runs), max(r.peak_mib for r in runs))

            return once

        def web():
            (folder / "copy").unlink(missing_ok=True)
            return timed(["curl", "-sf", "-o", folder / "copy", web_url + "/file"])

        rows = compare(
            {
                "colmeia get --from (stored, written)": ours(),
                "colmeia get --from --direct (written)": ours("--direct"),
                "ipfs get over bitswap": bitswap,
                "8 curls from ipfs, written, unverified": curls(True),
                "8 curls from ipfs, thrown away": curls(False),
                "curl from nginx, written, unverified": web,
            },
            TURNS,
        )
        ours("--direct")()
        assert file.stat().st_size == out.stat().st_size and subprocess.run(["cmp", file, out]).returncode == 0
        show(f"get, {SIZE >> 20} MiB", rows)
        names = ("stored", "direct", "bitswap", "curls_written", "curls_thrown_away", "nginx")
        report("get", mib=SIZE >> 20, peak_mib=round(rows[0][3]), **{n: round(r[1], 2) for n, r in zip(names, rows)})
    finally:
        for process in processes:
            process.terminate()
            process.wait()
        seeder.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
