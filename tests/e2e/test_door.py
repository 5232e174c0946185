# SPDX-License-Identifier: Apache-2.0
"""Checks at the door: a site that lies is named and refused, and the round goes on with the others."""

import json
import pathlib
import re
import signal

from tests.e2e.harness import Study, run, wait_for

LONG = 60  # seconds: a deadline that no round of these tests should need
SHORT = 3  # where the liar owes an answer to the end


class Door(Study):
    def three_sites(self, **changes):
        """Two honest sites and the liar, admitted last."""
        values = dict(sites=2, minimum=3, quorum=2, deadline=LONG, schedule='"fedavg 1"')
        values.update(changes)
        self.study(**values)
        self.admit(self.worker_init("liar"))

    def start_liar(self, lie):
        return self._start("liar", "tests/e2e/liar", self.dir / "liar", lie)

    def start_all(self, lie, held=None, fault=None):
        """`held`: the honest sites that stop themselves when they are about to submit. `fault`: the coordinator's."""
        self.coordinator = self.start_coordinator(fault)
        self.honest = [self.start_worker(name, "worker-before-submit:1=stop" if name == held else None)
                       for name in self.sites if name != "liar"]
        self.liar = self.start_liar(lie)

    def end_all(self):
        for process in (self.coordinator, *self.honest, self.liar):
            self.assertEqual(process.wait(), 0, f"{process.log.name}:\n{process.text()}")
        self.verify()

    def answers(self):
        """What the liar was told, line by line."""
        return [line for line in self.liar.text().splitlines() if re.match("accepted|refused|missing", line)]

    def wait_answers(self, count):
        return wait_for(f"{count} answers to the liar", lambda: len(self.answers()) >= count and self.answers())

    def release(self, process):
        """Lets an honest site go on that stopped itself, once it has."""
        stat = pathlib.Path(f"/proc/{process.child.pid}/stat")
        wait_for(f"{process.log.name} to stop", lambda: stat.read_text().rsplit(")", 1)[1].split()[0] == "T")
        process.resume()

    def block(self, cid):
        """A block of the coordinator's store, such as a record."""
        return (self.coordinator_dir / "shared/blocks" / cid[-3:-1] / cid).read_bytes()

    def site_states(self):
        return {s["name"]: s["state"] for s in json.loads((self.coordinator_dir / "status.json").read_text())["sites"]}

    def assert_refused(self, code, listed=True, round=1):
        """The liar was told, the log has it, a person can read it; `listed`: the round's record, too."""
        told = [a for a in self.answers() if a.startswith(f"refused {code} ")]
        self.assertTrue(told, self.liar.text())
        self.assertIn("liar: ", told[0], "the sentence names the site")
        logged = [e for e in self.events("coordinator", "update-refused") if e["code"] == code]
        self.assertEqual([(e["site"], e["round"]) for e in logged], [("liar", round)])
        self.assertEqual(f"refused {code} {logged[0]['sentence']}", told[0])
        self.assertRegex(self.coordinator.text(), f"update of liar refused \\({code}\\): liar: ")
        self.assertIn(f"{code}: {logged[0]['sentence']}", run("colmeia", "log", self.coordinator_dir).stdout)
        record = next(e["record"] for e in self.events("coordinator", "round") if e["round"] == round)
        if not listed:
            self.assertIsNone(logged[0]["refusal"])
            return
        refusal = logged[0]["refusal"]
        self.assertIn(code.encode(), self.block(refusal))
        self.assertIn(self.digest(refusal), self.block(record))

    def assert_round(self, answered, refused, number=1):
        r = self.events("coordinator", "round")[number - 1]
        self.assertEqual((r["answered"], r["refused"], r["failure"]), (answered, refused, ""))


class ALie(Door):
    def refused(self, lie, code):
        """Decided for good: the round needs no deadline to close with the others."""
        self.three_sites()
        self.start_all(lie)
        self.end_all()
        self.assertEqual(len(self.answers()), 1, self.liar.text())
        self.assert_refused(code)
        self.assert_round(2, 1)

    def test_the_truth_is_accepted(self):
        self.three_sites()
        self.start_all("none")
        self.end_all()
        self.assertEqual(self.answers(), ["accepted"])
        self.assert_round(3, 0)
        self.assertEqual(self.events("coordinator", "update-refused"), [])

    def test_a_record_of_another_round_takes_no_slot(self):
        self.three_sites(deadline=SHORT)
        self.start_all("wrong-round")
        self.end_all()
        self.assert_refused("wrong-round", listed=False)
        self.assert_round(2, 0)

    def test_of_two_stories_the_first_stands_and_both_are_kept(self):
        self.three_sites()
        self.start_all("equivocation", held="site-2")
        answers = self.wait_answers(6)
        status = wait_for("status to say so", lambda: "equivocated" in (self.coordinator_dir / "status.json").read_text() and self.site_states())
        self.release(self.honest[1])
        self.end_all()  # verify asks for both records
        self.assertEqual([a.split()[0] for a in answers], ["accepted", "missing", "refused", "refused", "refused", "accepted"])
        self.assertEqual(answers[1], "missing 1", "the record alone is the proof")
        self.assertEqual(status["liar"], "equivocated")
        self.assert_round(3, 1)
        (proof,) = self.events("coordinator", "equivocation")
        self.assertEqual((proof["site"], proof["round"]), ("liar", 1))
        self.assertEqual([e["record"] for e in self.events("coordinator", "update-accepted") if e["site"] == "liar"], [proof["accepted"]])
        self.assertNotEqual(proof["accepted"], proof["record"])
        self.assertRegex(self.coordinator.text(), "liar sent two differing updates \\(equivocation\\)")
        self.assertIn("liar sent two differing updates", run("colmeia", "log", self.coordinator_dir).stdout)
        refusal = self.block(proof["refusal"])
        self.assertIn(b"equivocation", refusal)
        self.assertIn(self.digest(proof["record"]), refusal)
        record = self.block(self.events("coordinator", "round")[0]["record"])
        self.assertIn(self.digest(proof["refusal"]), record)
        self.assertIn(self.digest(proof["accepted"]), record)
        packs = b"".join(path.read_bytes() for path in (self.coordinator_dir / "updates").glob("*/1.car"))
        for name in ("accepted", "record"):
            self.assertIn(self.digest(proof[name]), packs)
        told = [e for e in self.events("coordinator", "update-refused") if e["site"] == "liar"]
        self.assertEqual([(e["code"], e["refusal"]) for e in told], [("equivocation", None)], "a third is told once, and not kept")

    def test_a_proof_that_is_taken_away_is_missed(self):
        self.three_sites()
        self.start_all("equivocation", held="site-2")
        self.wait_answers(6)
        self.release(self.honest[1])
        self.end_all()
        (proof,) = self.events("coordinator", "equivocation")
        victim = next(path for path in (self.coordinator_dir / "updates").glob("*/1.car") if self.digest(proof["record"]) in path.read_bytes())
        data = victim.read_bytes()
        at = data.index(self.digest(proof["record"]))
        victim.write_bytes(data[:at - 6])  # from its section on; the accepted one's blocks came before
        done = self.verify(check=1)
        self.assertIn("its proof", done.stderr)

    def test_a_failed_task_is_declined_and_the_round_does_not_wait(self):
        self.three_sites(schedule='"fedavg 2"')
        self.start_all("failure")
        self.end_all()
        words = [a.split()[:2] for a in self.answers()]
        self.assertEqual(words, [["refused", "trainer-not-finite"]] * 2 + [["accepted"]])
        self.assert_round(2, 1)
        self.assert_round(3, 0, number=2)
        (told,) = self.events("coordinator", "update-refused")
        self.assertEqual((told["site"], told["round"], told["code"], told["record"]), ("liar", 1, "trainer-not-finite", None))
        self.assertRegex(self.coordinator.text(), "task of liar declined \\(trainer-not-finite\\): liar: ")
        self.assertIn(self.digest(told["refusal"]), self.block(self.events("coordinator", "round")[0]["record"]))

    def killed(self, lie, answered, **changes):
        """The coordinator dies between a refusal and its journal: the next one makes the same again."""
        self.three_sites(**changes)
        self.start_all(lie, held="site-2", fault="refusal-stored=kill")
        self.assertEqual(self.coordinator.wait(), -signal.SIGKILL, self.coordinator.text())
        refusals = lambda: {path.name for path in (self.coordinator_dir / "shared/blocks").glob("*/*") if b"colmeia/refusal/1" in path.read_bytes()}
        stored = refusals()
        self.assertEqual(len(stored), 1)
        self.coordinator = self.start_coordinator()
        wait_for("the liar's refusal", lambda: any(a.startswith("refused") for a in self.answers()))
        self.release(self.honest[1])
        self.end_all()
        self.assertEqual(refusals(), stored)
        self.assert_round(answered, 1)

    def test_a_decline_is_written_down_whatever_dies(self):
        self.killed("failure", 2, schedule='"fedavg 2"')

    def test_a_proof_is_written_down_whatever_dies(self):
        self.killed("equivocation", 3)

    def test_a_refusal_is_written_down_whatever_dies(self):
        self.killed("nan", 2)

    def test_the_same_record_again_gets_the_same_acknowledgement(self):
        self.three_sites()
        self.start_all("duplicate", held="site-2")
        self.wait_answers(2)
        self.release(self.honest[1])
        self.end_all()
        self.assertEqual(self.answers(), ["accepted", "accepted"])
        self.assertEqual(len([e for e in self.events("coordinator", "update-accepted") if e["site"] == "liar"]), 1)
        self.assert_round(3, 0)

    def test_an_answer_to_a_closed_round_is_late(self):
        self.three_sites(deadline=SHORT, schedule='"fedavg 2"')
        self.start_all("late")
        self.end_all()
        self.assert_refused("late", listed=False)
        self.assert_round(2, 0)
        self.assert_round(2, 0, number=2)

    def test_a_site_that_was_not_selected_is_told_so(self):
        self.three_sites(minimum=2, fraction=0.6)
        self.coordinator = self.start_coordinator()
        self.honest = [self.start_worker("site-1"), self.start_worker("site-2", "worker-before-submit:1=stop")]
        self.wait_event("coordinator", "round-opened")
        self.liar = self.start_liar("not-selected")
        self.wait_answers(1)
        self.release(self.honest[1])
        self.end_all()
        self.assert_refused("not-selected", listed=False)
        self.assert_round(2, 0)

    def test_missing_blocks_are_a_list_and_no_refusal(self):
        self.three_sites()
        self.start_all("missing")
        self.end_all()
        self.assertEqual(self.answers(), ["missing 1", "missing 1", "missing 1", "accepted"])
        self.assert_round(3, 0)
        self.assertEqual(self.events("coordinator", "update-refused"), [])

    def test_a_block_that_no_update_has_is_left_at_the_door(self):
        self.three_sites()
        self.start_all("odd-block")
        self.end_all()  # verify finds no fault with what was kept
        self.assertEqual(self.answers(), ["accepted"])
        self.assert_round(3, 0)

    def test_a_counted_site_is_never_told_late(self):
        self.three_sites(schedule='"fedavg 2"')
        self.start_all("replay")
        self.end_all()
        self.assertEqual(self.answers(), ["accepted"] * 4)
        self.assert_round(3, 0)
        self.assert_round(3, 0, number=2)
        self.assertEqual(self.events("coordinator", "update-refused"), [])

    def test_a_flood_leaves_the_others_served(self):
        self.three_sites(deadline=SHORT, schedule='"moments 1", "fedavg 2", "evaluate 1"')
        self.start_all("flood")
        self.end_all()
        rounds = self.events("coordinator", "round")
        self.assertEqual([(r["answered"], r["failure"]) for r in rounds], [(2, "")] * 4)
        for name in ("site-1", "site-2"):
            self.assertEqual(len(self.events(name, "accepted")), 4)
        self.assertIn("site=liar", self.coordinator.text())
        for log in (self.coordinator.log, self.coordinator_dir / "log.jsonl"):
            self.assertLess(len(log.read_text().splitlines()), 400, f"{log.name} was flooded, too")


REFUSED = {
    "bad-signature": "bad-signature", "unknown-site": "unknown-site", "wrong-study": "wrong-study",
    "wrong-exchange": "wrong-round", "wrong-plan": "wrong-plan", "wrong-base": "wrong-base",
    "other-layout": "layout-mismatch", "more-shards": "layout-mismatch", "longer-shard": "layout-mismatch",
    "nan": "not-finite", "inf": "not-finite", "weight-0": "bad-weight", "weight-too-large": "bad-weight",
    "garbage": "malformed", "odd-name": "malformed", "bad-block": "bad-block", "over-quota": "over-quota", "crumbs": "over-quota",
}

for lie, code in REFUSED.items():
    setattr(ALie, f"test_{lie.replace('-', '_')}_is_refused", lambda self, lie=lie, code=code: self.refused(lie, code))
