# SPDX-License-Identifier: Apache-2.0
"""`colmeia simulate`: a study with all its sites in one process has the models of real processes, and survives as they do."""

import json
import signal

from tests.e2e.harness import Process, Study, plan, run, table, wait_for

SITES = 10


def networks_plan(**changes):
    """A plan for a small perceptron, since that has random initial weights and an order of batches."""
    values = dict(architecture="mlp", minimum=SITES, quorum=SITES)
    values.update(changes)
    return plan(**values).replace('architecture = "mlp"', 'architecture = "mlp"\nhidden = [8]')


class ASimulation(Study):
    def prepare(self, text):
        self.plan_file = self.dir / "plan.toml"
        self.plan_file.write_text(text)
        self.data = self.dir / "data"
        self.data.mkdir()
        for i in range(SITES):
            (self.data / f"{i + 1:02}.csv").write_text(table(20 + 7 * i, i + 1))

    def command(self, out="simulated"):
        return "colmeia", "simulate", self.plan_file, "--data", self.data, "--out", self.dir / out

    def simulate(self, out="simulated", check=0):
        return run(*self.command(out), check=check)

    def admit_real_sites(self):
        self.init(plan_file=self.plan_file)
        for path in sorted(self.data.iterdir()):
            self.admit(self.worker_init(f"site-{path.stem}", data=path))

    def models(self, folder):
        return [r["model"] for r in self.events(folder, "round")]

    def selected(self, folder):
        """Which sites each round asked, by their place in the roster."""
        return [sorted(int(name.rsplit("-", 1)[1]) for name in e["selected"]) for e in self.events(folder, "round-opened")]

    def verify_simulated(self, out="simulated"):
        study = self.status(f"{out}/study")["study"]
        done = run("colmeia", "verify", self.dir / out / "study", "--study", study)
        return done.stdout.strip().rsplit("final model ", 1)[-1]

    def recomputed(self, out):
        """The models as the records have them: a kill may cost the log a line."""
        lines = run("colmeia", "verify", "-v", self.dir / out / "study").stdout.splitlines()[:-1]
        return [line.split("model ")[1].split(":")[0] for line in lines]

    # --- the same models

    def test_makes_the_models_of_real_processes(self):
        self.prepare(networks_plan(schedule='"moments 1", "fedavg 4", "evaluate 1"'))
        self.simulate()
        self.admit_real_sites()
        final = self.run_study()
        self.assertEqual(self.models("simulated/study"), self.models("coordinator"))
        self.assertEqual(len(set(self.models("coordinator"))), 5)
        self.assertEqual(self.verify_simulated(), final)
        for site in ("client-0001", "client-0010"):
            self.assertEqual(self.events(f"simulated/sites/{site}", "finished")[0]["model"], final)

    def test_selects_as_real_processes_do(self):
        self.prepare(networks_plan(schedule='"evaluate 1", "fedavg 6"', fraction=0.4, minimum=3, quorum=3))
        self.simulate()
        self.admit_real_sites()
        coordinator = self.start_coordinator()
        held = self.start_worker(self.sites[0])
        self.wait_online(1)
        held.stop()  # the first round waits for it until all are online
        workers = [self.start_worker(name) for name in self.sites[1:]]
        self.wait_online(SITES)
        self.assertEqual(self.models("coordinator"), [])
        held.resume()
        for process in (coordinator, held, *workers):
            self.assertEqual(process.wait(), 0, process.text())
        self.assertEqual(self.selected("simulated/study")[1:], self.selected("coordinator")[1:])
        self.assertEqual({len(sites) for sites in self.selected("coordinator")[1:]}, {4})
        self.assertGreater(len({tuple(sites) for sites in self.selected("coordinator")[1:]}), 1)
        self.assertEqual(self.models("simulated/study"), self.models("coordinator"))
        self.assertEqual(self.verify_simulated(), self.verify())

    def wait_online(self, count):
        wait_for(f"{count} sites online", lambda: sum(s["online"] for s in self.status().get("sites", [])) == count)

    # --- ends, and goes on

    def test_interrupted_and_killed_it_goes_on_where_it_was(self):
        self.prepare(networks_plan(schedule='"moments 1", "fedavg 40"', fraction=0.4, minimum=3, quorum=3))
        whole = json.loads(run(*self.command("whole"), "--json").stdout)
        for rounds, number, status in ((4, signal.SIGINT, 1), (12, signal.SIGKILL, -9), (20, signal.SIGTERM, 1)):
            process = Process(self.dir / "simulate.out", *self.command())
            self.processes.append(process)
            wait_for(f"round {rounds}", lambda: len(self.models("simulated/study")) >= rounds)
            process.child.send_signal(number)
            self.assertEqual(process.wait(), status, process.text())
        self.assertIn("the same command goes on", process.text())
        self.assertLess(len(self.models("simulated/study")), 41)
        self.assertIn("finished: 41 rounds", self.simulate().stdout)
        self.assertEqual(self.verify_simulated(), whole["model"])
        self.assertEqual(self.recomputed("simulated"), self.recomputed("whole"))
        self.simulate()  # nothing is left to do

    def test_needs_no_data_for_the_test_trainers(self):
        self.plan_file = self.dir / "plan.toml"
        self.plan_file.write_text(plan(architecture="external", trainer="null", schedule='"fedavg 3"', fraction=0.1, minimum=5, quorum=5))
        done = run("colmeia", "simulate", self.plan_file, "--clients", 60, "--model", self.random_model(4000), "--out", self.dir / "simulated", "--json")
        said = json.loads(done.stdout)
        self.assertEqual((said["finished"], said["clients"], said["rounds"]), (True, 60, 3))
        self.assertEqual({len(sites) for sites in self.selected("simulated/study")}, {6})
        self.assertEqual(self.verify_simulated(), said["model"])
