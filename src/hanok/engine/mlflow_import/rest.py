"""An MLflow tracking server, by its REST protocol."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO
from urllib.parse import quote, urlencode

import orjson

from hanok.core.errors import ArtifactNotFound, Invalid, NotFound, Unavailable
from hanok.core.registry import ModelVersion, RegisteredModel
from hanok.core.tracking import Experiment, LoggedModel, Metric, Run
from hanok.engine.mlflow_import.sources import Opener
from hanok.wire.mlflow import answers

API, TIMEOUT_S = "/api/2.0/mlflow", 300
PAGE, POINTS = 1000, 25_000


class RestSource:
    def __init__(self, address: str, token: str = "") -> None:
        self._address, self._token = address, token

    def experiments(self) -> Iterator[Experiment]:
        asked = {"view_type": "ALL", "max_results": PAGE}
        for body in self._pages("POST", "/experiments/search", asked, "experiments"):
            yield answers.experiment(body)

    def runs(self, experiment_id: str) -> Iterator[Run]:
        asked = {
            "experiment_ids": [experiment_id],
            "run_view_type": "ALL",
            "max_results": PAGE,
            "order_by": ["attributes.start_time ASC"],
        }
        for body in self._pages("POST", "/runs/search", asked, "runs"):
            yield answers.run(body)

    def history(self, run_id: str, key: str) -> Iterator[Metric]:
        asked = {"run_id": run_id, "metric_key": key, "max_results": POINTS}
        for body in self._pages("GET", "/metrics/get-history", asked, "metrics"):
            yield answers.metric(body)

    def logged_models(self, experiment_id: str) -> Iterator[LoggedModel]:
        asked = {"experiment_ids": [experiment_id], "max_results": 50}
        try:
            for body in self._pages("POST", "/logged-models/search", asked, "models"):
                yield answers.logged_model(body.get("model", body))
        except NotFound:  # servers before 3.0 have none
            return

    def registered(self) -> Iterator[tuple[RegisteredModel, list[ModelVersion]]]:
        for body in self._pages("GET", "/registered-models/search", {"max_results": PAGE}, "registered_models"):
            asked = {"filter": f"name='{body['name']}'", "max_results": PAGE}
            found = self._pages("GET", "/model-versions/search", asked, "model_versions")
            versions = [answers.model_version(version) for version in found]
            full = self._ask("GET", "/registered-models/get", {"name": body["name"]})["registered_model"]
            yield answers.registered_model(full), sorted(versions, key=lambda v: v.version)

    def files(self, owner: Run | LoggedModel) -> Iterator[tuple[str, Opener]]:
        if isinstance(owner, Run):
            yield from self._files_of_run(owner.id, "")
        else:
            yield from self._files_of_model(owner.id, "")

    def _files_of_run(self, run_id: str, folder: str) -> Iterator[tuple[str, Opener]]:
        asked = {"run_id": run_id} | ({"path": folder} if folder else {})
        for file in self._pages("GET", "/artifacts/list", asked, "files"):
            if file.get("is_dir"):
                yield from self._files_of_run(run_id, file["path"])
            else:
                query = urlencode({"run_id": run_id, "path": file["path"]})
                yield file["path"], self._opener(f"/get-artifact?{query}")

    def _files_of_model(self, model_id: str, folder: str) -> Iterator[tuple[str, Opener]]:
        base = f"/logged-models/{quote(model_id)}/artifacts"
        asked = {"artifact_directory_path": folder} if folder else {}
        for file in self._pages("GET", f"{base}/directories", asked, "files"):
            if file.get("is_dir"):
                yield from self._files_of_model(model_id, file["path"])
            else:
                query = urlencode({"artifact_file_path": file["path"]})
                yield file["path"], self._opener(f"/ajax-api/2.0/mlflow{base}/files?{query}")

    def _opener(self, path: str) -> Opener:
        return lambda: self._open("GET", path, None)

    def _pages(self, method: str, path: str, asked: Mapping[str, Any], name: str) -> Iterator[Mapping[str, Any]]:
        token = ""
        while True:
            body = self._ask(method, path, {**asked, **({"page_token": token} if token else {})})
            yield from body.get(name, ())
            token = body.get("next_page_token", "")
            if not token:
                return

    def _ask(self, method: str, path: str, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        if method == "GET":
            with self._open("GET", f"{API}{path}?{urlencode(asked)}", None) as reply:
                return orjson.loads(reply.read())
        with self._open(method, API + path, orjson.dumps(asked)) as reply:
            return orjson.loads(reply.read())

    def _open(self, method: str, path: str, body: bytes | None) -> BinaryIO:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        request = urllib.request.Request(self._address + path, body, headers, method=method)
        try:
            reply: BinaryIO = urllib.request.urlopen(request, timeout=TIMEOUT_S)
            return reply
        except urllib.error.HTTPError as error:
            said = error.read()[:300].decode("utf-8", "replace")
            if error.code == 404:
                raise ArtifactNotFound(f"{path[:200]} is not there: {said}") from None
            if error.code < 500:
                raise Invalid(f"the MLflow server refused {path[:200]} with {error.code}: {said}") from None
            raise Unavailable(f"the MLflow server answered {error.code} to {path[:200]}: {said}") from None
        except OSError as error:
            raise Unavailable(f"no MLflow server answers at {self._address}: {error}") from None
