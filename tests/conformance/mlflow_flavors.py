"""Logs a model of each flavor with an unmodified MLflow client; writes its name and what it answers to three rows."""

import json
import os
import sys

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import infer_signature

mlflow.set_tracking_uri(os.environ["TRACKING_URL"])
rng = np.random.default_rng(0)
X = pd.DataFrame({"a": rng.normal(size=300), "b": rng.normal(size=300)})
y = (X.a + X.b > 0).astype(int)


def models():
    import catboost
    import lightgbm
    import xgboost
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    yield "sklearn", make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
    yield "xgboost", xgboost.XGBClassifier(n_estimators=4).fit(X, y)
    yield "lightgbm", lightgbm.train({"objective": "binary", "verbose": -1}, lightgbm.Dataset(X, y), 4)
    yield "catboost", catboost.CatBoostClassifier(n_estimators=4, verbose=0, allow_writing_files=False).fit(X, y)


for flavor, model in models():
    with mlflow.start_run():
        getattr(mlflow, flavor).log_model(
            model,
            name="model",
            registered_model_name=f"m-{flavor}",
            signature=infer_signature(X, y),
            pip_requirements=[],
        )
    few = X.head(3)
    scores = model.predict_proba(few)[:, 1] if hasattr(model, "predict_proba") else model.predict(few)
    told = {"name": f"m-{flavor}", "expected": [float(v) for v in scores], "rows": few.to_dict("records")}
    sys.stdout.write(json.dumps(told) + "\n")
