"""What NNI's users do from Python, with NNI itself: run in the environment that has it. Says what it found as JSON."""

import json
import sys
import time
from pathlib import Path

from nni.experiment import Experiment
from nni.experiment.config import CustomAlgorithmConfig

folder, port = Path(sys.argv[1]), int(sys.argv[2])
(folder / "mine.py").write_text(
    """
from nni.tuner import Tuner
from nni.assessor import Assessor, AssessResult

class Steps(Tuner):
    def update_search_space(self, space):
        self.space, self.seen = space, []
    def generate_parameters(self, parameter_id, **more):
        return {"x": parameter_id / 10, "m": {"_name": "svm", "c": parameter_id}}
    def receive_trial_result(self, parameter_id, parameters, value, **more):
        assert parameters["x"] == parameter_id / 10
        self.seen.append(value)

class Half(Assessor):
    def assess_trial(self, trial, history):
        return AssessResult.Bad if history[0]["x"] >= 0.3 else AssessResult.Good
"""
)
(folder / "trial.py").write_text(
    """
import time, nni
p = nni.get_next_parameter()
for step in range(3):
    nni.report_intermediate_result({"default": p["x"] + step, "x": p["x"]})
time.sleep(20 if p["x"] >= 0.3 else 0)
nni.report_final_result({"default": p["x"], "other": 7})
"""
)
experiment = Experiment("local")
experiment.config.experiment_name = "walk"
experiment.config.trial_command = f"{sys.executable} trial.py"
experiment.config.trial_code_directory = folder
experiment.config.trial_concurrency = 2
experiment.config.max_trial_number = 4
experiment.config.search_space = {"x": {"_type": "uniform", "_value": [0, 1]}}
experiment.config.tuner = CustomAlgorithmConfig(class_name="mine.Steps", code_directory=folder)
experiment.config.assessor = CustomAlgorithmConfig(class_name="mine.Half", code_directory=folder)
done = experiment.run(port)
jobs = experiment.list_trial_jobs()
found = {
    "done": done,
    "status": experiment.get_status(),
    "jobs": {j.hyperParameters[0].parameters["x"]: j.status for j in jobs},
    "statistics": experiment.get_job_statistics(),
    "metrics": {trial: len(points) for trial, points in experiment.get_job_metrics().items()},
    "exported": sorted(d.value["default"] if isinstance(d.value, dict) else d.value for d in experiment.export_data()),
    "name": experiment.get_experiment_profile()["params"]["experimentName"],
    "id": experiment.id,
}
experiment.update_max_trial_number(5)
deadline = time.time() + 60
while len(experiment.list_trial_jobs()) < 5 and time.time() < deadline:
    time.sleep(0.5)
found["after update"] = len(experiment.list_trial_jobs())
experiment.stop()
sys.stdout.write(f"FOUND {json.dumps(found)}\n")
