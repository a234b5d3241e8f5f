"""A day of autologging with an unmodified MLflow client: sklearn, LightGBM, XGBoost and Optuna, one experiment each.

Run by test_mlflow_autolog.py in the client's environment, with TRACKING_URL set and the names of the flavours as
arguments; prints a JSON object that says what was made.
"""

import json
import os
import sys

import mlflow
import numpy as np
import pandas as pd

mlflow.set_tracking_uri(os.environ["TRACKING_URL"])
RNG = np.random.default_rng(7)
FEATURES = pd.DataFrame({name: RNG.normal(size=200) for name in ("age", "income", "tenure")})
TARGET = (FEATURES["age"] + FEATURES["income"] > 0).astype(int)


def sklearn():
    from sklearn.linear_model import LogisticRegression

    mlflow.sklearn.autolog(registered_model_name="auto-sklearn")
    with mlflow.start_run() as run:
        LogisticRegression(max_iter=50).fit(FEATURES, TARGET)
    return run


def lightgbm():
    import lightgbm

    mlflow.lightgbm.autolog(registered_model_name="auto-lightgbm")
    data = lightgbm.Dataset(FEATURES, TARGET, free_raw_data=False)
    with mlflow.start_run() as run:
        lightgbm.train(
            {"objective": "binary", "verbose": -1, "num_threads": 1}, data, 5, valid_sets=[data], valid_names=["train"]
        )
    return run


def xgboost():
    import xgboost

    mlflow.xgboost.autolog(registered_model_name="auto-xgboost")
    data = xgboost.DMatrix(FEATURES, TARGET)
    with mlflow.start_run() as run:
        xgboost.train(
            {"objective": "binary:logistic", "nthread": 1}, data, 5, evals=[(data, "train")], verbose_eval=False
        )
    return run


def optuna():
    """A study as MLflow's users write it: a run for the study, and one inside it for each trial."""
    import optuna as library
    from sklearn.linear_model import LogisticRegression

    library.logging.set_verbosity(library.logging.ERROR)
    mlflow.sklearn.autolog(registered_model_name="auto-optuna")

    def objective(trial):
        with mlflow.start_run(nested=True):
            model = LogisticRegression(C=trial.suggest_float("C", 0.01, 10, log=True), max_iter=50)
            score = model.fit(FEATURES, TARGET).score(FEATURES, TARGET)
            mlflow.log_params(trial.params)
            mlflow.log_metric("accuracy", score)
        return score

    with mlflow.start_run() as run:
        study = library.create_study(direction="maximize", sampler=library.samplers.RandomSampler(seed=1))
        study.optimize(objective, n_trials=2)
        mlflow.log_params({f"best_{k}": v for k, v in study.best_params.items()})
        mlflow.log_metric("best_accuracy", study.best_value)
    return run


made = {}
for name in sys.argv[1:]:
    mlflow.set_experiment(f"autolog-{name}")
    made[name] = globals()[name]().info.run_id
    mlflow.sklearn.autolog(disable=True)
print(json.dumps(made))  # noqa: T201
