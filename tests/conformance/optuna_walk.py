"""An Optuna user's day with Hanok as the storage: a study through GrpcStorageProxy, then optuna-dashboard on it. Run in
an environment that has both; says what it found as JSON."""

import json
import os
import sys
import urllib.request
from wsgiref.util import setup_testing_defaults

import optuna
from optuna.storages import GrpcStorageProxy
from optuna_dashboard import wsgi

optuna.logging.set_verbosity(optuna.logging.ERROR)
storage = GrpcStorageProxy(host="127.0.0.1", port=int(sys.argv[1]))
seen = []


def objective(trial):
    x = trial.suggest_float("x", -1, 1)
    trial.suggest_categorical("kind", ["a", "b"])
    trial.report(x * x, 0)
    with urllib.request.urlopen(f"{os.environ['TRACKING_URL']}/studies/mine.json", timeout=30) as reply:
        seen.append(json.loads(reply.read())["counts"].get("running"))
    return x * x


study = optuna.create_study(storage=storage, study_name="mine", pruner=optuna.pruners.MedianPruner())
study.optimize(objective, n_trials=6)
app = wsgi(storage)


def get(path):
    environment, said = {"PATH_INFO": path}, {}
    setup_testing_defaults(environment)
    body = b"".join(app(environment, lambda status, headers, error=None: said.update(status=status)))
    return said["status"], body


summaries = json.loads(get("/api/studies")[1])["study_summaries"]
status, body = get(f"/api/studies/{summaries[0]['study_id']}")
found = {
    "seen": seen,
    "studies": [s["study_name"] for s in summaries],
    "status": [status, get("/dashboard")[0]],
    "trials": len(json.loads(body)["trials"]),
    "best": study.best_value,
}
storage.close()
sys.stdout.write(json.dumps(found))
