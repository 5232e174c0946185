# SPDX-License-Identifier: Apache-2.0
"""A whole study by the README's commands: from an empty folder to a verified final model."""

import json
import stat

from tests.e2e.harness import ROOT, Study, run, table, wait_for


class AStudy(Study):
    def test_ends_in_a_model_that_everybody_can_recompute(self):
        self.study()
        final = self.run_study()
        self.assertTrue(final.startswith("bafy") or final.startswith("bafk"), final)
        rounds = self.events("coordinator", "round")
        self.assertEqual([r["rule"] for r in rounds], ["moments", "fedavg", "fedavg", "fedavg", "evaluate"])
        self.assertEqual(rounds[-1]["model"], final)
        for r in rounds:
            self.assertEqual((r["answered"], r["selected"], r["refused"]), (3, 3, 0))
        self.assertGreater(rounds[-1]["accuracy"], rounds[1]["accuracy"])
        for name in self.sites:  # a worker holds its own updates only, and says so
            self.assertEqual(self.verify(name), final)

    def test_the_same_plan_data_and_order_give_the_same_model_whatever_the_keys(self):
        self.study()
        first = self.run_study()
        other = AStudy()
        other.setUp()
        try:
            other.study()
            self.assertEqual(other.run_study(), first)
        finally:
            other.clean_up()

    def test_the_final_model_opens_in_python(self):
        self.study()
        final = self.run_study()
        out = self.dir / "final.safetensors"
        run("colmeia", "get", final, "--store", self.coordinator_dir, "-o", out)
        from safetensors.numpy import load_file
        tensors = load_file(out)
        self.assertEqual(sorted(tensors), ["bias", "input.deviation", "input.mean", "weight"])
        self.assertEqual(tensors["weight"].shape, (1, 3))

    def test_a_worker_started_before_it_is_admitted_says_so_and_goes_on_trying(self):
        self.study(sites=2, minimum=3)
        late = self.worker_init("late")
        coordinator = self.start_coordinator()
        worker = self.start_worker("late")
        self.wait_event("late", "not-admitted")
        for name in ("site-1", "site-2"):
            self.start_worker(name)
        self.admit(late)
        self.assertEqual(coordinator.wait(), 0, coordinator.text())
        self.assertEqual(worker.wait(), 0, worker.text())
        self.assertIn("admit", worker.text())
        self.verify()

    def test_a_site_admitted_in_mid_study_takes_part_from_the_next_round(self):
        self.study(sites=2, minimum=2, schedule='"moments 1", "fedavg 30"')
        coordinator = self.start_coordinator()
        for name in ("site-1", "site-2"):
            self.start_worker(name)
        self.wait_event("coordinator", "round", 2)
        self.admit(self.worker_init("late"))
        worker = self.start_worker("late")
        self.assertEqual(coordinator.wait(), 0, coordinator.text())
        self.assertEqual(worker.wait(), 0, worker.text())
        rounds = self.events("coordinator", "round")
        self.assertEqual(rounds[0]["selected"], 2)
        self.assertEqual(rounds[-1]["selected"], 3)
        self.verify()

    def test_a_task_under_another_plan_is_refused_with_the_line_to_change(self):
        self.study(sites=3, quorum=2, deadline=5, minimum=2)
        config = self.dir / "site-3" / "config.toml"
        approved = [line for line in config.read_text().splitlines() if line.startswith("plan")][0]
        other = self.invitation_of_another_plan()
        config.write_text(config.read_text().replace(approved, f'plan = "{other}"'))
        coordinator = self.start_coordinator()
        workers = [self.start_worker(name) for name in self.sites]
        self.wait_event("site-3", "task-refused")
        self.assertIn(approved, workers[2].text())
        self.assertIn(str(config), workers[2].text())
        self.assertEqual(coordinator.wait(), 0, coordinator.text())
        self.assertEqual({r["answered"] for r in self.events("coordinator", "round")}, {2})

    def invitation_of_another_plan(self):
        path = self.dir / "other.toml"
        path.write_text((self.dir / "plan.toml").read_text().replace("seed = 7", "seed = 8"))
        done = run("colmeia-coordinator", "init", self.dir / "other", "--plan", path, "--listen", "127.0.0.1:0", "--json")
        return json.loads(done.stdout)["plan"]

    def test_two_coordinators_on_one_folder_are_refused(self):
        self.study()
        self.start_coordinator()
        self.wait_event("coordinator", "started")
        done = run("colmeia-coordinator", "run", self.coordinator_dir, check=None)
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stderr, "another|already|lock")

    def test_secrets_are_readable_by_their_owner_alone(self):
        self.study(sites=1, minimum=1, quorum=1)
        for folder in (self.coordinator_dir, self.dir / "site-1"):
            self.assertEqual(stat.S_IMODE(folder.stat().st_mode), 0o700)
            keys = list((folder / "keys").iterdir())
            self.assertTrue(keys)
            for key in keys:
                if "certificate" not in key.name:
                    self.assertEqual(stat.S_IMODE(key.stat().st_mode), 0o600, key)

    def test_status_says_what_the_round_waits_for(self):
        self.study(sites=2, minimum=3, quorum=2)
        self.start_coordinator()
        self.start_worker("site-1")
        status = wait_for("one site online", lambda: any(s["online"] for s in self.status().get("sites", [])) and self.status())
        self.assertEqual(status["phase"], "gather")
        text = run("colmeia", "status", self.coordinator_dir).stdout
        self.assertIn("site-2", text)


class WrongInput(Study):
    def test_each_mistake_in_a_plan_is_named_with_file_line_and_key(self):
        good = (ROOT / "examples/breast-cancer/plan.toml").read_text()
        for old, new, words in (
            ("epochs = 2", "epoch = 2", ["epoch", "no such key", "epochs"]),
            ("epochs = 2", 'epochs = "2"', ["epochs"]),
            ("quorum = 4", "quorum = 0", ["quorum"]),
            ("quorum = 4", "quorum = 6", ["quorum", "minimum"]),
            ('"fedavg 20"', '"fedavgg 20"', ["fedavgg", "fedavg"]),
            ("fraction = 1.0", "fraction = 1.5", ["fraction"]),
        ):
            path = self.dir / "plan.toml"
            path.write_text(good.replace(old, new))
            done = run("colmeia-coordinator", "init", self.coordinator_dir, "--plan", path, check=2)
            for word in [*words, "plan.toml"]:
                self.assertIn(word, done.stderr, new)
            self.assertEqual(done.stdout, "")
            self.assertFalse(self.coordinator_dir.exists(), "a failed init leaves nothing")

    def test_a_bad_invitation_or_data_file_leaves_nothing(self):
        self.init()
        (self.dir / "d.csv").write_text(table(10, 1))
        done = run("colmeia-worker", "init", self.dir / "w", "--name", "w", "--data", self.dir / "d.csv", "--study",
                   self.invitation[:-3], check=None)
        self.assertNotEqual(done.returncode, 0)
        done = run("colmeia-worker", "init", self.dir / "w", "--name", "w", "--data", self.dir / "none.csv", "--study",
                   self.invitation, check=None)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("none.csv", done.stderr)
        self.assertFalse((self.dir / "w").exists())

    def test_help_and_version_are_at_each_level(self):
        for program in ("colmeia", "colmeia-coordinator", "colmeia-worker"):
            self.assertIn(program, run(program, "--help").stdout)
            self.assertIn("0.1.0", run(program, "--version").stdout)
            self.assertEqual(run(program, check=2).stdout, "")
            self.assertIn("nonsense", run(program, "nonsense", check=2).stderr)
        for command in (("colmeia-coordinator", "init"), ("colmeia-coordinator", "run"), ("colmeia-coordinator", "admit"),
                        ("colmeia-worker", "init"), ("colmeia-worker", "run"), ("colmeia", "verify"), ("colmeia", "get"),
                        ("colmeia", "add"), ("colmeia", "log"), ("colmeia", "status"), ("colmeia", "model"), ("colmeia", "aggregate")):
            self.assertIn(command[1], run(*command, "--help").stdout)
