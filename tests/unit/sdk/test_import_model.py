"""What an MLflow client logged is converted where a person asks for it, and then deploys like any version."""

import io
import json
import pickle
from hashlib import sha256

import httpx
import numpy as np
import pyarrow as pa
import pytest
import yaml
from click.testing import CliRunner

import hanok as hk
from hanok.cli import cli
from hanok.core.errors import Conflict, ConversionFailed, Corrupt, Unsafe
from hanok.sdk.importing import import_model
from hanok.server.run import build
from tests.unit.server.conftest import Sync

SIGNATURE = [{"type": "double", "name": "a"}, {"type": "long", "name": "n"}]


def mlmodel(flavor, said, **more):
    """As MLflow writes it."""
    flavors = {flavor: said, "python_function": {"loader_module": f"mlflow.{flavor}"}}
    return {"flavors": flavors, "signature": {"inputs": json.dumps(SIGNATURE)}, **more}


def fitted(kind):
    from sklearn.ensemble import RandomForestClassifier

    x = np.random.default_rng(0).normal(size=(200, 2))
    x[:, 1] = np.round(5 * x[:, 1])
    y = x[:, 0] + x[:, 1] > 0
    if kind == "lightgbm":
        import lightgbm

        return lightgbm.train({"objective": "binary", "verbose": -1}, lightgbm.Dataset(x, y), 3)
    return RandomForestClassifier(3, max_depth=3, random_state=0).fit(x, y)


@pytest.fixture
def client(tmp_path):
    with hk.open(tmp_path / "home") as client:
        yield client


def logged(client, model, files):
    """A version as an MLflow client leaves it; its number."""
    tracking = client.app.tracking
    run = tracking.runs.create("0", name="mlflow")
    for path, content in files.items():
        tracking.artifacts.put_under(run.artifact_uri, f"model/{path}", io.BytesIO(content))
    tracking.registry.ensure_model(model)
    return tracking.registry.register(model, source=f"{run.artifact_uri}/model", run_id=run.id).version


def lightgbm_files():
    said = {"data": "model.lgb", "model_class": "lightgbm.basic.Booster"}
    body = mlmodel("lightgbm", said, saved_input_example_info={"artifact_path": "input_example.json"})
    example = {"columns": ["a", "n"], "data": [[0.5, 3], [-2.0, 7]]}
    return {
        "MLmodel": yaml.safe_dump(body).encode(),
        "model.lgb": fitted("lightgbm").model_to_string().encode(),
        "input_example.json": json.dumps(example).encode(),
    }


def sklearn_files(model=None):
    said = {"pickled_model": "model.pkl", "serialization_format": "cloudpickle"}
    content = pickle.dumps(model if model is not None else fitted("sklearn"))
    return {"MLmodel": yaml.safe_dump(mlmodel("sklearn", said)).encode(), "model.pkl": content}


def test_a_model_in_its_librarys_format_is_imported_deployed_and_held_to_its_signature(client):
    version = logged(client, "credit", lightgbm_files())
    with pytest.raises(Conflict, match=f"hanok model import credit@{version}"):
        client.call("deploy", model="credit", version=version)
    made = import_model(client, "credit", version)
    assert made["runtime"] == "lightgbm" and made["parity"]["rows"] == 500
    assert import_model(client, "credit", version)["package"] == made["package"]  # again, to no further effect
    client.call("deploy", model="credit", version=version)
    http = httpx.Client(transport=Sync(build(client.app)), base_url="http://127.0.0.1")

    def asked(**row):
        return http.post("/invocations", json={"dataframe_records": [row]})

    score = asked(a=0.5, n=3).json()["predictions"][0]
    assert score == fitted("lightgbm").predict(np.array([[0.5, 3.0]]))[0]
    assert asked(a=0.5, n=3, more="ignored").status_code == 200
    for wrong in ({"a": 0.5}, {"a": "x", "n": 3}, {"a": 0.5, "n": 3.5}):
        assert asked(**wrong).status_code == 400


def test_a_pickle_is_loaded_only_when_that_very_file_is_approved(client):
    files = sklearn_files()
    version = logged(client, "credit", files)
    digest = sha256(files["model.pkl"]).hexdigest()
    for approve in ("", sha256(b"another").hexdigest()):
        with pytest.raises(Unsafe, match=digest):
            import_model(client, "credit", version, approve=approve)
    rows = pa.table({"a": np.linspace(-2, 2, 50), "n": np.arange(50)})
    made = import_model(client, "credit", version, data=rows, approve=digest)
    assert made["runtime"] == "lightgbm" and made["parity"]["rows"] == 50


class Touch:
    """What a pickle may do."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_nothing_of_a_pickle_runs_before_it_is_approved(client, tmp_path):
    version = logged(client, "credit", sklearn_files(Touch(str(tmp_path / "ran"))))
    with pytest.raises(Unsafe):
        import_model(client, "credit", version)
    assert not (tmp_path / "ran").exists()


def test_what_cannot_be_served_says_why_and_changes_nothing(client):
    pyfunc = {"flavors": {"python_function": {"loader_module": "mlflow.pyfunc.model"}}}
    outside = mlmodel("lightgbm", {"data": "../../secret"})
    for body, error in ((pyfunc, ConversionFailed), (outside, Corrupt), ("no model", Corrupt)):
        version = logged(client, "credit", {"MLmodel": yaml.safe_dump(body).encode()})
        with pytest.raises(error):
            import_model(client, "credit", version)
        assert client.app.tracking.registry.version("credit", version).package == ""


def test_a_package_that_is_damaged_or_foreign_is_refused_before_the_version_has_it(client):
    version = logged(client, "credit", lightgbm_files())
    run = client.app.tracking.registry.version("credit", version).run_id
    signature = {"inputs": [{"name": "a", "datatype": "FP64"}], "task": "regression", "classes": []}
    uri = client.app.tracking.runs.get(run).artifact_uri
    client.app.tracking.artifacts.put_under(uri, f"hanok/{version}/model.txt", io.BytesIO(b"tree\nnum_class=1\n"))
    for runtime, error in (("lightgbm", Corrupt), ("pickle", Unsafe)):
        with pytest.raises(error):
            client.call(
                "model.package", model="credit", version=version, runtime=runtime, signature=signature, notes={},
                files=["model.txt"],
            )  # fmt: skip
    assert client.app.tracking.registry.version("credit", version).package == ""


def test_the_command_line_names_a_version_with_an_at(tmp_path):
    home = ["--home", str(tmp_path / "home")]
    with hk.open(tmp_path / "home") as client:
        logged(client, "credit", lightgbm_files())
    for words in (["model", "import", "credit@1"], ["deploy", "credit@1"]):
        ran = CliRunner().invoke(cli, [*words, *home])
        assert ran.exit_code == 0, ran.output
    for words in (["model", "import", "credit"], ["deploy", "credit@x"], ["deploy", "credit@1", "--version", "2"]):
        assert CliRunner().invoke(cli, [*words, *home]).exit_code == 2
