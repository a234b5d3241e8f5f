"""Optuna's own storage contract, as its package ships it, on Hanok's storage."""

from __future__ import annotations

import socket

import pytest

pytest.importorskip("optuna")

from optuna.testing.pytest_storages import StorageTestCase

from hanok.core.clock import SystemClock
from hanok.parts.tuning.optuna_storage import OptunaStorage, serve
from hanok.stores.sql import SqlMetadata


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    made = SqlMetadata.at(tmp_path_factory.mktemp("optuna") / "hanok.db")
    yield made
    made.close()


class TestOptunaStorage(StorageTestCase):
    @pytest.fixture
    def storage(self, store):
        """Without a study; to make a store anew costs more than most of these tests."""
        store.write(lambda r: [r.studies.delete(study.id) for study in r.studies.list()])
        return OptunaStorage(store, SystemClock())


@pytest.mark.conformance
class TestOverGrpc(StorageTestCase):
    """The same contract through Optuna's own proxy client. Its messages do not keep the order of parameters, whatever
    storage is behind it."""

    test_get_all_trials_params_order = None

    @pytest.fixture
    def storage(self, tmp_path):
        grpc = pytest.importorskip("grpc")
        from optuna.storages import GrpcStorageProxy

        metadata = SqlMetadata.at(tmp_path / "hanok.db")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        serve(OptunaStorage(metadata, SystemClock()), "127.0.0.1", port)
        grpc.channel_ready_future(grpc.insecure_channel(f"127.0.0.1:{port}")).result(timeout=30)
        proxy = GrpcStorageProxy(host="127.0.0.1", port=port)
        yield proxy
        proxy.close()
        metadata.close()
