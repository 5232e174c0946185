#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""add: 1 GiB of random bytes, profile unixfs-v1-2025, beside a real Kubo (KUBO), which uses OpenSSL's or the CPU's SHA-256 as it was built.
The file is in the page cache; both give the same root, which is asserted."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from benchmarks.machine import report
from benchmarks.paired import BIN, SCRATCH, compare, noise, show, timed
from tests.interop.kubo import KUBO, Kubo

SIZE = int(os.environ.get("SIZE_MIB", 1024)) << 20
TURNS = int(os.environ.get("TURNS", 5))


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="add-", dir=SCRATCH))
    kubo = Kubo("unixfs-v1-2025", folder)
    try:
        file = noise(folder / "file", SIZE)
        ours = subprocess.run([BIN / "colmeia", "add", "-Q", "--only-hash", file], capture_output=True, text=True, check=True).stdout
        assert ours.strip() == kubo.text("add", "-Q", "--only-hash", file), "the same root"
        environment = kubo.environment()
        store = folder / "store"

        def colmeia(*options):
            def once():
                shutil.rmtree(store, ignore_errors=True)
                return timed([BIN / "colmeia", "add", "-Q", "--store", store, *options, file])

            return once

        def theirs(*options, fresh=True):
            def once():
                if fresh:  # an empty repository each time: a block that is there is not written
                    shutil.rmtree(pathlib.Path(kubo.repo) / "blocks", ignore_errors=True)
                    shutil.copytree(folder / "blocks", pathlib.Path(kubo.repo) / "blocks")
                return timed([KUBO, "add", "-Q", "--progress=false", *options, file], env=environment)

            return once

        shutil.copytree(pathlib.Path(kubo.repo) / "blocks", folder / "blocks")
        hashed = compare({"colmeia add --only-hash": colmeia("--only-hash"), "ipfs add --only-hash": theirs("--only-hash", fresh=False)}, TURNS)
        show(f"hash only, {SIZE >> 20} MiB", hashed)
        stored = compare({"colmeia add --no-sync": colmeia("--no-sync"), "ipfs add (flatfs, sync false)": theirs()}, TURNS)
        show("stored, neither side syncing", stored)
        config = pathlib.Path(kubo.repo) / "config"
        config.write_text(config.read_text().replace('"sync": false', '"sync": true'))

        def copied():
            (folder / "copy").unlink(missing_ok=True)
            return timed(["dd", f"if={file}", f"of={folder}/copy", "bs=1M", "conv=fsync", "status=none"])

        synced = compare(
            {
                "colmeia add": colmeia(),
                "ipfs add (flatfs, sync true)": theirs(),
                "dd conv=fsync": copied,
            },
            TURNS,
        )
        show("stored, both syncing", synced)
        report(
            "add",
            mib=SIZE >> 20,
            hash_ratio=round(hashed[1][4], 2),
            stored_ratio=round(stored[1][4], 2),
            synced_ratio=round(synced[1][4], 2),
            peak_mib=round(max(rows[0][3] for rows in (hashed, stored, synced))),
            kubo_peak_mib=round(max(rows[1][3] for rows in (hashed, stored, synced))),
        )
    finally:
        kubo.close()
        shutil.rmtree(folder, ignore_errors=True)


sys.exit(main())
