# SPDX-License-Identifier: Apache-2.0
"""The demo, as a person sees it: in a pipe plain lines, on a terminal progress in place."""

import os
import pty
import re
import subprocess

from tests.e2e.harness import BIN, ROOT, Study

DEMO = ROOT / "examples/breast-cancer/demo"


class ADemo(Study):
    def test_in_a_pipe_ends_with_the_model_that_verify_recomputed(self):
        done = subprocess.run([DEMO, BIN, self.dir / "demo"], capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("\x1b", done.stdout)
        self.assertNotIn("\r", done.stdout)
        rounds = re.findall(r"^\d+/22 +(\w+) +5/5 .* (baf\w+)$", done.stdout, re.M)
        self.assertEqual(len(rounds), 22)
        self.assertEqual((rounds[0][0], rounds[-1][0]), ("moments", "evaluate"))
        self.assertIn(f"verified 22 rounds, final model {rounds[-1][1]}", done.stdout.splitlines()[-1])
        accuracy = {name.strip(): float(value) for name, value in re.findall(r"^  (.*?) +([\d.]+) %$", done.stdout, re.M)}
        self.assertEqual(len(accuracy), 7)
        alone = [value for name, value in accuracy.items() if name.endswith("alone")]
        self.assertGreater(accuracy["federated, no case moved"], sum(alone) / len(alone))

    def test_on_a_terminal_shows_progress_in_place(self):
        master, slave = pty.openpty()
        child = subprocess.Popen([DEMO, BIN, self.dir / "demo"], stdout=slave, stderr=subprocess.DEVNULL)
        os.close(slave)
        seen = b""
        while True:
            try:
                piece = os.read(master, 4096)
            except OSError:
                break
            if not piece:
                break
            seen += piece
        self.assertEqual(child.wait(60), 0)
        self.assertIn(b"\r\x1b[K", seen)
        self.assertIn(b"verified 22 rounds", seen)
