"""pytest plugin for MLflow's own webhook tests: they start their server with a command, and get the one at
TRACKING_URL instead. Give it beside the plugin of tests/conformance/README, with -p."""

import contextlib
import os


def pytest_collection_modifyitems(items):
    @contextlib.contextmanager
    def foreign(tmp_path):
        yield os.environ["TRACKING_URL"].rstrip("/")

    for module in {item.module for item in items if hasattr(item, "module")}:
        if hasattr(module, "_run_mlflow_server"):
            module._run_mlflow_server = foreign
