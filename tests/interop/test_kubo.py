# SPDX-License-Identifier: Apache-2.0
"""Both directions with a real Kubo: the same CIDs, each other's CARs, each other's gateways."""

import hashlib
import os
import pathlib
import random
import re
import shutil
import subprocess
import tempfile
import unittest

from tests.interop.kubo import Kubo

BIN = pathlib.Path(os.environ["COLMEIA_BIN"])
PROFILES = ("unixfs-v1-2025", "unixfs-v0-2015")
MIB = 1 << 20
# Around every edge: nothing, one byte, a chunk, a full node of the old profile (174 leaves), a second level.
SIZES = {
    "unixfs-v1-2025": (0, 1, 255, MIB - 1, MIB, MIB + 1, 2 * MIB, 7 * MIB + 12345),
    "unixfs-v0-2015": (0, 1, 255, 262143, 262144, 262145, 174 * 262144, 174 * 262144 + 1, 175 * 262144),
}


def noise(size, seed):
    return random.Random(seed).randbytes(size)


class Together(unittest.TestCase):
    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="interop-", dir=os.environ.get("COLMEIA_E2E")))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.store = self.dir / "store"

    def kubo(self, profile="unixfs-v1-2025"):
        kubo = Kubo(profile, self.dir)
        self.addCleanup(kubo.close)
        return kubo

    def colmeia(self, *arguments, input=None, check=0):
        environment = {k: v for k, v in os.environ.items() if k not in ("IPFS_GATEWAY", "IPFS_PATH")}
        environment.update(COLMEIA_STORE=str(self.store), HOME=str(self.dir))
        done = subprocess.run([BIN / "colmeia", *map(str, arguments)], input=input, capture_output=True, env=environment, timeout=300)
        if check is not None:
            self.assertEqual(done.returncode, check, done.stderr.decode())
        return done.stdout

    def cid(self, *arguments, **more):
        return self.colmeia(*arguments, **more).decode().strip()

    def gateway(self):
        """`colmeia gateway` over the store; its URL."""
        process = subprocess.Popen([BIN / "colmeia", "gateway", "--listen", "127.0.0.1:0", "--store", self.store], stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        return re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline()).group(0)

    def tree(self):
        """A folder with what folders have: nested and empty ones, hidden names, links, odd names, large and small files."""
        root = self.dir / "tree"
        (root / "nested/deeper/empty").mkdir(parents=True)
        (root / "a.txt").write_bytes(b"hello world")
        (root / "empty").write_bytes(b"")
        (root / ".hidden").write_bytes(b"not without --hidden")
        (root / "nested/large.bin").write_bytes(noise(3 * MIB + 17, 1))
        (root / "nested/deeper/ünï cödé %41 & more").write_bytes(noise(1000, 2))
        (root / "nested/same.bin").write_bytes(noise(3 * MIB + 17, 1))
        (root / "link").symlink_to("nested/large.bin")
        (root / "nested/upward").symlink_to("../a.txt")
        return root


class Roots(Together):
    def test_of_files_are_equal_for_every_size(self):
        for profile in PROFILES:
            kubo = self.kubo(profile)
            for size in SIZES[profile]:
                with self.subTest(profile=profile, size=size):
                    file = self.dir / "file"
                    file.write_bytes(noise(size, size))
                    expected = kubo.text("add", "-Q", "--only-hash", file)
                    self.assertEqual(self.cid("add", "-Q", "--only-hash", "--profile", profile, file), expected)
                    self.assertEqual(self.cid("add", "-Q", "--profile", profile, file), expected)
                    self.assertEqual(self.cid("add", "-Q", "--profile", profile, input=file.read_bytes()), expected)
                    self.assertEqual(self.colmeia("cat", expected), file.read_bytes())

    def test_with_other_chunks_and_widths_are_equal(self):
        kubo, file = self.kubo(), self.dir / "file"
        file.write_bytes(noise(300_001, 3))
        for chunk, links in ((1000, 174), (4096, 2), (65536, 3), (262144, 1024), (1, 8192)):
            if chunk == 1:
                file.write_bytes(noise(9000, 4))
            with self.subTest(chunk=chunk, links=links):
                parameters = ("--chunker", f"size-{chunk}", "--max-file-links", links)
                expected = kubo.text("add", "-Q", "--cid-version=1", "--raw-leaves", *parameters, file)
                self.assertEqual(self.cid("add", "-Q", *parameters, file), expected)

    def test_of_folders_are_equal_in_every_shape(self):
        root = self.tree()
        for profile in PROFILES:
            kubo = self.kubo(profile)
            for hidden in ((), ("--hidden",)):
                with self.subTest(profile=profile, hidden=hidden):
                    expected = kubo.text("add", "-r", "-Q", *hidden, root)
                    self.assertEqual(self.cid("add", "-Q", *hidden, "--profile", profile, root), expected)

    def test_of_large_folders_are_equal_on_both_sides_of_the_hamt(self):
        for profile, counts in (("unixfs-v1-2025", (4443, 4444, 20000)), ("unixfs-v0-2015", (10, 4900, 5000, 9000))):
            kubo = self.kubo(profile)
            for count in counts:
                with self.subTest(profile=profile, count=count):
                    root = self.dir / f"{profile}-{count}"
                    root.mkdir()
                    for i in range(count):
                        (root / f"entry-{i:05}.bin").write_bytes(b"%06d" % i)
                    expected = kubo.text("add", "-r", "-Q", root)
                    self.assertEqual(self.cid("add", "-Q", "--profile", profile, root), expected)
                    listed = sorted(line.split(maxsplit=2)[2] for line in self.cid("ls", expected).splitlines())
                    self.assertEqual(listed, [f"entry-{i:05}.bin" for i in range(count)])
                    self.assertEqual(self.colmeia("cat", f"{expected}/entry-00007.bin"), b"000007")


class Cars(Together):
    def test_of_ours_are_imported_by_kubo(self):
        kubo, root, car = self.kubo(), self.tree(), self.dir / "ours.car"
        cid = self.cid("add", "-Q", "--hidden", root)
        self.colmeia("car", "export", cid, "-o", car)
        self.assertIn(cid, kubo.text("dag", "import", "--pin-roots=true", "--timeout=60s", car))
        kubo("get", "--offline", cid, "-o", self.dir / "theirs")
        self.assertEqual((self.dir / "theirs/nested/large.bin").read_bytes(), (root / "nested/large.bin").read_bytes())
        self.assertEqual(os.readlink(self.dir / "theirs/nested/upward"), "../a.txt")

    def test_of_kubo_are_imported_by_us_and_made_again(self):
        root = self.tree()
        for profile in PROFILES:
            kubo, car = self.kubo(profile), self.dir / "theirs.car"
            cid = kubo.text("add", "-r", "-Q", "--hidden", root)
            car.write_bytes(kubo("dag", "export", "--progress=false", cid))
            self.assertIn(cid, self.cid("car", "import", car))
            self.colmeia("car", "verify", car)
            out = self.dir / f"out-{profile}"
            self.colmeia("get", cid, "-o", out)
            self.assertEqual((out / "nested/large.bin").read_bytes(), (root / "nested/large.bin").read_bytes())
            self.assertEqual((out / ".hidden").read_bytes(), (root / ".hidden").read_bytes())
            self.assertEqual(os.readlink(out / "link"), "nested/large.bin")
            ours = self.dir / "again.car"
            self.colmeia("car", "export", "--force", cid, "-o", ours)
            self.assertEqual(hashlib.sha256(ours.read_bytes()).digest(), hashlib.sha256(car.read_bytes()).digest(), "the same blocks in the same order")

    def test_of_trickle_trees_and_inline_blocks_are_read(self):
        kubo, file = self.kubo(), self.dir / "file"
        file.write_bytes(noise(1_000_003, 5))
        for parameters in (("--trickle", "--chunker=size-1000"), ("--trickle", "--raw-leaves=false", "--chunker=size-3000"), ("--inline", "--inline-limit=100", "--chunker=size-64")):
            with self.subTest(parameters=parameters):
                if "--inline" in parameters:
                    file.write_bytes(noise(1000, 6))
                cid = kubo.text("add", "-Q", "--cid-version=1", *parameters, file)
                self.colmeia("car", "import", "-", input=kubo("dag", "export", "--progress=false", cid))
                self.assertEqual(self.colmeia("cat", cid), file.read_bytes())
                self.assertEqual(self.colmeia("cat", cid, "--offset", 501, "--length", 300), file.read_bytes()[501:801])

    def test_of_dag_cbor_are_shown_alike(self):
        kubo = self.kubo()
        leaf = kubo.text("dag", "put", "--store-codec", "dag-cbor", input=b'{"n":9007199254740991,"m":-5,"f":1.5,"t":"h\\u00e9 \\"q\\" \\n","b":{"/":{"bytes":"AQID"}},"z":null,"y":[true,false,{}]}')
        root = kubo.text("dag", "put", "--store-codec", "dag-cbor", input=b'{"a":{"/":"%s"},"list":[1,{"/":"%s"}]}' % (leaf.encode(), leaf.encode()))
        self.colmeia("car", "import", "-", input=kubo("dag", "export", "--progress=false", root))
        for path in (root, leaf, f"{root}/a", f"{root}/list/1/t", f"{root}/list/0"):
            self.assertEqual(self.cid("dag", "get", path), kubo.text("dag", "get", path), path)


class Gateways(Together):
    def test_of_kubo_is_a_source(self):
        kubo, root = self.kubo(), self.tree()
        cid = kubo.text("add", "-r", "-Q", root)
        kubo.start()
        out = self.dir / "out"
        self.colmeia("get", "--from", kubo.gateway, cid, "-o", out)
        self.assertEqual((out / "nested/large.bin").read_bytes(), (root / "nested/large.bin").read_bytes())
        self.assertEqual(self.colmeia("cat", f"{cid}/nested/same.bin"), (root / "nested/large.bin").read_bytes(), "and now it is here")

    def test_of_ours_is_where_kubo_fetches(self):
        root = self.tree()
        cid = self.cid("add", "-Q", root)
        url = self.gateway()
        kubo = self.kubo()
        kubo.set("Routing.Type", "delegated")
        kubo.set("Routing.DelegatedRouters", [url])
        kubo.start()
        kubo("get", "--timeout=60s", cid, "-o", self.dir / "theirs")
        self.assertEqual((self.dir / "theirs/nested/large.bin").read_bytes(), (root / "nested/large.bin").read_bytes())
        self.assertEqual(kubo("cat", "--offline", f"{cid}/a.txt"), b"hello world")


if __name__ == "__main__":
    unittest.main()
