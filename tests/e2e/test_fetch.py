# SPDX-License-Identifier: Apache-2.0
"""Fetching from gateways: over a link that is slow and cut, from several at once, and from such as lie.

COLMEIA_LINK_BYTES_PER_SECOND=250000 makes the links those of two megabits a second."""

import gzip
import http.server
import os
import random
import re
import shutil
import threading
import urllib.error
import urllib.request

from tests.e2e.harness import Process, Study, run, wait_for
from tests.e2e.relay import Link

MIB = 1 << 20
SPEED = int(os.environ.get("COLMEIA_LINK_BYTES_PER_SECOND", 4_000_000))
CUTS = 20
BOMB = gzip.compress(bytes(64 * MIB))
EMPTY = {"IPFS_GATEWAY": "", "IPFS_PATH": "/nonexistent", "HTTP_PROXY": "", "http_proxy": "", "NO_PROXY": "", "no_proxy": ""}


class Server:
    """An HTTP server whose answers are made by `answer(path, headers)`: status, headers, body."""

    def __init__(self, answer):
        owner = self
        self.requests = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                owner.requests.append((self.path, dict(self.headers)))
                status, headers, body = answer(self.path, self.headers)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if "Content-Length" not in headers and "Transfer-Encoding" not in headers:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                try:
                    if "Transfer-Encoding" in headers:
                        while True:
                            self.wfile.write(b"%x\r\n%s\r\n" % (len(body), body))
                    self.wfile.write(body)
                except OSError:
                    self.close_connection = True

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class AFetch(Study):
    def setUp(self):
        super().setUp()
        self.bytes = random.Random(7).randbytes(8 * MIB)
        self.path = self.dir / "object"
        self.path.write_bytes(self.bytes)
        self.root = run("colmeia", "add", "-Q", "--store", self.dir / "theirs", self.path).stdout.strip()
        self.gateway = self.serve("theirs")

    def serve(self, store):
        log = self.dir / f"gateway-{store}.out"
        self.processes.append(Process(log, "colmeia", "gateway", "--store", self.dir / store, "--listen", "127.0.0.1:0"))
        found = wait_for("the gateway", lambda: log.exists() and re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text()))
        return int(found.group(1))

    def answering(self, answer):
        server = Server(answer)
        self.addCleanup(server.close)
        return server

    def link(self, port, cuts=()):
        link = Link(port, SPEED, cuts)
        self.addCleanup(link.close)
        return link

    def get(self, *options, check=0, env=None, name="out"):
        done = run("colmeia", "get", self.root, "--store", self.dir / "ours", "-o", self.dir / name, "--force", *options, check=check,
                   env={**EMPTY, **(env or {})})
        if check == 0:
            self.assertEqual((self.dir / name).read_bytes(), self.bytes)
        return done

    def block(self, path):
        """What the gateway has, without ranges."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.gateway}{path}") as answer:
                return 200, {"Content-Type": "application/vnd.ipld.raw"}, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, {}, b"no"

    @staticmethod
    def some_cuts():
        chance = random.Random(11)
        return [chance.randrange(MIB // 5, MIB) for _ in range(CUTS)]

    # --- a slow link that is cut

    def test_over_a_link_cut_twenty_times_goes_on_inside_its_blocks(self):
        link = self.link(self.gateway, self.some_cuts())
        self.get("--from", link.url)
        # Eight mebibytes end before the cuts do: the rest is for what is sent again.
        self.assertGreaterEqual(link.cut, 8)
        self.assertLessEqual(link.passed - len(self.bytes), link.cut * 64 * 1024)

    def test_over_a_link_cut_twenty_times_before_every_block_is_whole(self):
        chance = random.Random(5)
        link = self.link(self.gateway, [chance.randrange(MIB // 5, MIB // 2) for _ in range(CUTS)])
        self.get("--from", link.url)
        self.assertGreaterEqual(link.cut, CUTS - 1)
        self.assertLessEqual(link.passed - len(self.bytes), link.cut * 64 * 1024)

    def test_from_a_source_without_ranges_loses_a_block_a_cut_at_most(self):
        plain = self.answering(lambda path, headers: self.block(path))
        link = self.link(plain.port, self.some_cuts())
        self.get("--from", link.url)
        self.assertEqual(link.cut, CUTS)
        self.assertLessEqual(link.passed - len(self.bytes), link.cut * MIB)

    def parts(self):
        return [p.name for p in self.dir.iterdir() if p.name.endswith(".part")]

    def kill_half_way(self, link, *options):
        half = Process(self.dir / "get.out", "colmeia", "get", self.root, "--store", self.dir / "ours", "-o", self.dir / "out",
                       "--from", link.url, *options, env=EMPTY)
        self.processes.append(half)
        wait_for("half of it", lambda: link.passed > 5 * MIB)
        half.kill()
        self.assertFalse((self.dir / "out").exists())
        self.assertEqual(self.parts(), [f"out.{self.root[-12:]}.part"])

    def held(self):
        return sum(p.stat().st_size for p in (self.dir / "ours").rglob("*") if p.is_file())

    def test_killed_half_way_goes_on_from_what_came(self):
        link = self.link(self.gateway)
        self.kill_half_way(link)
        before = link.passed
        self.get("--from", link.url)
        # What was under way in two or three requests is lost, and what was whole is not.
        self.assertLess(link.passed - before, 7 * MIB)
        self.assertEqual(self.parts(), [])
        # All of it is in the store too, whatever the first one left there.
        self.get(name="again")

    def test_killed_half_way_goes_on_without_the_part_from_the_store_alone(self):
        link = self.link(self.gateway)
        self.kill_half_way(link)
        (self.dir / self.parts()[0]).unlink()
        before = link.passed
        self.get("--from", link.url)
        self.assertLess(link.passed - before, 7 * MIB)

    # --- the bytes once

    def test_direct_killed_half_way_goes_on_from_its_part_and_keeps_the_tree_alone(self):
        link = self.link(self.gateway)
        self.kill_half_way(link, "--direct")
        before = link.passed
        self.get("--from", link.url, "--direct")
        self.assertLess(link.passed - before, 7 * MIB)
        self.assertEqual(self.parts(), [])
        self.assertLess(self.held(), MIB // 4)
        self.get(check=1)  # the leaves are not in the store

    def test_direct_that_fails_keeps_its_part_and_otherwise_nothing_is_left(self):
        def half(path, headers):
            half.left -= 1
            return self.block(path) if half.left >= 0 else (404, {}, b"no")
        for options, left in (("--direct",), 1), ((), 0):
            half.left = 4
            self.forget()
            source = self.answering(half)
            self.get("--from", source.url, *options, check=1)
            self.assertFalse((self.dir / "out").exists())
            self.assertEqual(len(self.parts()), left)

    def test_direct_is_for_files_of_raw_blocks(self):
        folder = self.dir / "folder"
        folder.mkdir()
        (folder / "a").write_bytes(b"a" * 1000)
        for path, options in (folder, ("-r",)), (self.path, ("--profile", "unixfs-v0-2015")):
            self.root = run("colmeia", "add", "-Q", *options, "--store", self.dir / "theirs", path).stdout.strip()
            done = run("colmeia", "get", self.root, "--store", self.dir / "ours", "-o", self.dir / "other", "--direct",
                       "--from", f"http://127.0.0.1:{self.gateway}", check=2, env={**os.environ, **EMPTY})
            self.assertIn("--direct is for files of raw blocks", done.stderr)
            self.assertEqual(self.parts(), [])
            run("colmeia", "get", self.root, "--store", self.dir / "ours", "-o", self.dir / "other",
                "--from", f"http://127.0.0.1:{self.gateway}", env={**os.environ, **EMPTY})
            if path == folder:
                self.assertEqual((self.dir / "other/a").read_bytes(), b"a" * 1000)
                shutil.rmtree(self.dir / "other")
            else:
                self.assertEqual((self.dir / "other").read_bytes(), self.bytes)

    # --- several

    def test_a_slow_source_beside_a_fast_one_is_not_waited_for(self):
        slow = Link(self.gateway, 20_000)  # alone it would take seven minutes, and this test is given two
        self.addCleanup(slow.close)
        self.get("--from", slow.url, "--from", f"http://127.0.0.1:{self.gateway}")
        self.assertLess(slow.passed, 2 * MIB)

    def test_sources_come_from_the_environment_and_from_the_file_of_other_tools(self):
        asked = self.answering(lambda path, headers: self.block(path))
        folder = self.dir / "ipfs"
        folder.mkdir()
        (folder / "gateway").write_text(f"# mine\n{asked.url}/\n")
        self.get(check=2)  # nobody is named, and there is no store
        self.get(env={"IPFS_GATEWAY": f"http://127.0.0.1:1,{asked.url}/"})
        self.assertTrue(asked.requests)
        (self.dir / "home").mkdir()
        (self.dir / "home/.ipfs").symlink_to(folder)
        for env in ({"IPFS_PATH": str(folder)}, {"IPFS_PATH": "", "HOME": str(self.dir / "home")}):
            self.forget()
            asked.requests.clear()
            self.get(env=env)
            self.assertTrue(asked.requests)
        # --from is the whole truth where it is given.
        self.forget()
        asked.requests.clear()
        self.get("--from", f"http://127.0.0.1:{self.gateway}", env={"IPFS_GATEWAY": asked.url})
        self.assertFalse(asked.requests)

    def forget(self):
        shutil.rmtree(self.dir / "ours", ignore_errors=True)

    def test_what_is_no_gateways_url_is_refused(self):
        for url in ("file:///etc", "127.0.0.1:8080", "http://", "ipfs://x", "http://a b", "http://a/?x", "http:///a"):
            done = self.get("--from", url, check=2)
            self.assertIn("--from", done.stderr)
            self.assertIn("no gateway's URL", done.stderr)

    def test_goes_through_an_http_proxy(self):
        def proxy(path, headers):
            self.assertTrue(path.startswith("http://gateway.example/ipfs/"), path)
            return self.block(path[len("http://gateway.example"):])
        between = self.answering(proxy)
        self.get("--from", "http://gateway.example", env={"http_proxy": between.url})
        self.assertTrue(between.requests)

    # --- attack 22: gateways that lie

    LIES = {
        "a page": lambda block: (200, {"Content-Type": "text/html"}, b"<html>please log in</html>"),
        "a length that is too long": lambda block: (200, {"Content-Length": str(len(block) + 9), "Connection": "close"}, block),
        "a length that is too short": lambda block: (200, {"Content-Length": str(len(block) - 1), "Connection": "close"}, block),
        "chunks without end": lambda block: (200, {"Transfer-Encoding": "chunked"}, bytes(4096)),
        "a bomb": lambda block: (200, {"Content-Encoding": "gzip"}, BOMB),
        "the block, but packed": lambda block: (200, {"Content-Encoding": "gzip"}, gzip.compress(block)),
        "one bit": lambda block: (200, {}, bytes([block[0] ^ 1]) + block[1:]),
        "a file": lambda block: (302, {"Location": "file:///etc/passwd"}, b""),
        "a circle": lambda block: (302, {"Location": "/ipfs/again"}, b""),
    }

    def test_attack_22_gateways_that_lie_are_named_and_the_honest_one_delivers(self):
        for what, lie in self.LIES.items():
            with self.subTest(what):
                self.forget()

                def answer(path, headers, lie=lie):
                    status, _, body = self.block(path)
                    return lie(body) if status == 200 or "again" not in path else (302, {"Location": "/ipfs/again"}, b"")
                liar = self.answering(answer)
                done = self.get("--from", liar.url, check=1)
                self.assertIn(f"colmeia: {liar.url}", done.stderr)
                self.assertNotIn("root:", done.stderr)
                self.get("--from", liar.url, "--from", f"http://127.0.0.1:{self.gateway}")

    def test_attack_22_a_gateway_elsewhere_does_not_lead_to_the_metadata_of_this_machine(self):
        for place in ("http://169.254.169.254/latest/meta-data/", f"http://127.0.0.1:{self.gateway}/ipfs/x", "http://[::1]/"):
            def proxy(path, headers, place=place):
                self.assertIn("gateway.example", path)
                return 302, {"Location": place}, b""
            between = self.answering(proxy)
            done = self.get("--from", "http://gateway.example", check=1, env={"http_proxy": between.url})
            self.assertIn("this machine or its link", done.stderr)
            self.assertEqual(len(between.requests), 1)

    # --- attack 16: a cycle

    def test_attack_16_a_gateway_that_answers_with_the_root_always_is_found_out(self):
        liar = self.answering(lambda path, headers: self.block(f"/ipfs/{self.root}?format=raw"))
        done = self.get("--from", liar.url, check=1)
        self.assertIn(f"{liar.url} sent bytes that are not block", done.stderr)
