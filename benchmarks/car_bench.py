#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""CAR: export and import of a DAG of 1 GiB, beside Kubo offline. Ours verifies every block in both directions."""

import os
import pathlib
import shutil
import sys
import tempfile

from benchmarks.machine import report
from benchmarks.paired import BIN, SCRATCH, compare, noise, show, timed
from tests.interop.kubo import KUBO, Kubo

SIZE = int(os.environ.get("SIZE_MIB", 1024)) << 20
TURNS = int(os.environ.get("TURNS", 5))


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="car-", dir=SCRATCH))
    kubo = Kubo("unixfs-v1-2025", folder)
    try:
        file, store, other, car = noise(folder / "file", SIZE), folder / "store", folder / "other", folder / "file.car"
        shutil.copytree(pathlib.Path(kubo.repo) / "blocks", folder / "blocks")
        environment = kubo.environment()
        root = kubo.text("add", "-Q", "--progress=false", file)
        timed([BIN / "colmeia", "add", "-Q", "--no-sync", "--store", store, file])

        def to_file(*command, env=None):
            def once():
                with open(car, "wb") as out:
                    return timed(command, env=env, out=out)

            return once

        exported = compare(
            {
                "colmeia car export": to_file(BIN / "colmeia", "car", "export", "--store", store, root),
                "ipfs dag export": to_file(KUBO, "dag", "export", "--progress=false", root, env=environment),
            },
            TURNS,
        )
        show(f"export to a file, {SIZE >> 20} MiB", exported)
        thrown = compare(
            {
                "colmeia car export": lambda: timed(["sh", "-c", f"{BIN}/colmeia car export --store {store} {root} >/dev/null"]),
                "ipfs dag export": lambda: timed(["sh", "-c", f"{KUBO} dag export --progress=false {root} >/dev/null"], env=environment),
            },
            TURNS,
        )
        show("export, thrown away (so that the disk is not what is measured)", thrown)

        def ours():
            shutil.rmtree(other, ignore_errors=True)
            return timed([BIN / "colmeia", "car", "import", "--no-sync", "--store", other, car])

        def theirs():
            shutil.rmtree(pathlib.Path(kubo.repo) / "blocks", ignore_errors=True)
            shutil.copytree(folder / "blocks", pathlib.Path(kubo.repo) / "blocks")
            return timed([KUBO, "dag", "import", "--pin-roots=false", car], env=environment)

        imported = compare({"colmeia car import --no-sync": ours, "ipfs dag import": theirs}, TURNS)
        show("import, neither side syncing", imported)
        report("car", mib=SIZE >> 20, export_ratio=round(thrown[1][4], 2), export_to_file_ratio=round(exported[1][4], 2), import_ratio=round(imported[1][4], 2), peak_mib=round(max(exported[0][3], imported[0][3])))
    finally:
        kubo.close()
        shutil.rmtree(folder, ignore_errors=True)


sys.exit(main())
