"""An unmodified MLflow client's day, in its own virtual environment, against a real server: a 3.x and a 2.x client."""

from pathlib import Path

import pytest

from tests.conformance.material import path_of
from tests.conformance.mlflow_environments import client_python, ran, serving

pytestmark = pytest.mark.conformance
WALK = path_of("HANOK_MLFLOW_WALK", "mlflow_client_walk.py")
OF_2 = Path(__file__).with_name("mlflow2_client_walk.py")
NO_WALK = pytest.mark.skipif(WALK is None, reason="SKIPPED LOUDLY: mlflow_client_walk.py is missing: HANOK_MLFLOW_WALK")
PHASES = [
    "autolog_fit log_model_and_register pyfunc_load registry_client",  # each goes on with what the one before made
    "fluent_core",
    "logged_models",
    "traces",
    "prompts",
    "big_artifact",
]
PHASES_OF_2 = ["autolog_fit", "fluent_core", "big_artifact"]
"""The others use names that MLflow 3 brought: log_model(name=), logged models, genai. mlflow2_client_walk.py does what
they do in the words of 2.x."""


@pytest.fixture(scope="module")
def python3():
    return client_python("HANOK_MLFLOW_PYTHON", "mlflow-client", "mlflow>=3", "scikit-learn", "pillow")


@pytest.fixture(scope="module")
def python2():
    return client_python("HANOK_MLFLOW2_PYTHON", "mlflow2-client", "mlflow<3", "scikit-learn", "pillow")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("client") / "home"


@pytest.fixture(scope="module")
def server(home):
    yield from serving(home)


def passed(walked):
    return [line.split()[1] for line in walked.stdout.splitlines() if line.startswith("PASS")]


@NO_WALK
@pytest.mark.parametrize("phases", PHASES)
def test_a_client_of_3_works_unchanged(python3, server, phases, tmp_path):
    walked = ran(python3, WALK, *phases.split(), address=server, cwd=tmp_path)
    assert passed(walked) == phases.split(), walked.stdout[-4000:] + walked.stderr[-2000:]


@NO_WALK
@pytest.mark.parametrize("phase", PHASES_OF_2)
def test_a_client_of_2_works_unchanged(python2, server, phase, tmp_path):
    walked = ran(python2, WALK, phase, address=server, cwd=tmp_path)
    assert passed(walked) == [phase], walked.stdout[-4000:] + walked.stderr[-2000:]


def test_a_client_of_2_registers_loads_and_moves_models(python2, server, tmp_path):
    walked = ran(python2, OF_2, address=server, cwd=tmp_path)
    assert passed(walked) == ["log_and_register", "load", "registry"], walked.stdout[-4000:] + walked.stderr[-2000:]


@NO_WALK
def test_a_large_file_really_went_in_parts(python3, server, home, tmp_path):
    before = {path.name for path in (home / "uploads").glob("*")}
    walked = ran(python3, WALK, "big_artifact", address=server, cwd=tmp_path)
    assert passed(walked) == ["big_artifact"], walked.stdout[-4000:]
    (made,) = {path for path in (home / "uploads").glob("*") if path.name not in before}
    about = (made / "about.json").read_text()
    assert '"parts":3' in about and '"size_bytes":12582912' in about
