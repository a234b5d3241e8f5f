"""Every engine keeps the contract of its port, and every port has one."""

import importlib
import inspect
import pkgutil
import shutil
from pathlib import Path

import pytest

from hanok import stores
from hanok.stores import testing
from hanok.stores.blobs import LocalBlobs, LocalFolder, LocalUploads
from hanok.stores.delta import DeltaTables
from hanok.stores.frames import FrameFile, read_frames
from hanok.stores.lmdb import LmdbOnlineValues
from hanok.stores.memory import MemoryBlobs, MemoryOnlineValues, MemoryTables
from hanok.stores.sql import SqlMetadata


class TestLocalBlobs(testing.BlobsContract):
    @pytest.fixture
    def store(self, tmp_path):
        return LocalBlobs(tmp_path)

    def test_damage_is_noticed(self, store):
        digest, _ = store.put(iter([b"precious"]))
        with Path(store.path(digest)).open("r+b") as file:
            file.write(b"X")
        assert not store.verify(digest)


class TestMemoryBlobs(testing.BlobsContract):
    @pytest.fixture
    def store(self):
        return MemoryBlobs()


class TestDeltaTables(testing.TablesContract):
    @pytest.fixture
    def store(self, tmp_path):
        tables = DeltaTables(tmp_path)
        yield tables
        tables.close()

    def test_what_was_acknowledged_is_there_after_reopening(self, store, tmp_path):
        store.append("t", testing.rows(1, 2), key="a")
        store.flush("t")
        store.append("t", testing.rows(3), key="b")
        reopened = DeltaTables(tmp_path)  # the first one was never closed, as after kill -9
        assert testing.values(reopened.scan("t")) == [1, 2, 3]
        assert reopened.append("t", testing.rows(9), key="b").repeated
        assert reopened.append("t", testing.rows(9), key="a").repeated
        reopened.close()

    def test_a_torn_last_frame_is_cut_off(self, store, tmp_path):
        store.append("t", testing.rows(1), key="a")
        store.append("t", testing.rows(2), key="b")
        segment = next((tmp_path / "t" / "tail").glob("*.seg"))
        segment.write_bytes(segment.read_bytes()[:-3])
        reopened = DeltaTables(tmp_path)
        assert testing.values(reopened.scan("t")) == [1]
        assert not reopened.append("t", testing.rows(2), key="b").repeated
        reopened.close()

    def test_many_flushes_are_compacted_and_lose_no_row(self, store):
        for i in range(70):
            store.append("t", testing.rows(i), key=str(i))
            store.flush("t")
        assert len(store.scan("t").files) <= 64
        assert testing.values(store.scan("t")) == list(range(70))
        assert testing.values(store.scan("t", upto=10)) == list(range(10))

    def test_other_engines_read_the_delta_table(self, store, tmp_path):
        deltalake = pytest.importorskip("deltalake")
        store.append("t", testing.rows(1, 2), key="a")
        store.flush("t")
        assert deltalake.DeltaTable(str(tmp_path / "t" / "delta")).to_pyarrow_table().num_rows == 2


class TestMemoryTables(testing.TablesContract):
    @pytest.fixture
    def store(self):
        return MemoryTables()


class TestLmdbOnlineValues(testing.OnlineValuesContract):
    @pytest.fixture
    def store(self, tmp_path):
        values = LmdbOnlineValues(tmp_path, start_bytes=1 << 16)  # small, so that it has to grow
        yield values
        values.close()


class TestMemoryOnlineValues(testing.OnlineValuesContract):
    @pytest.fixture
    def store(self):
        return MemoryOnlineValues()


class TestLocalFolder(testing.FolderContract):
    @pytest.fixture
    def store(self, tmp_path):
        return LocalFolder(tmp_path)

    @pytest.fixture
    def uri(self, tmp_path):
        return tmp_path.as_uri()


class TestLocalUploads(testing.UploadsContract):
    @pytest.fixture
    def blobs(self, tmp_path):
        return LocalBlobs(tmp_path / "blobs")

    @pytest.fixture
    def store(self, tmp_path, blobs):
        return LocalUploads(tmp_path / "uploads", blobs)


class TestFrameFile(testing.FramesContract):
    @pytest.fixture
    def store(self, tmp_path):
        frames = FrameFile(tmp_path / "a.seg")
        yield frames
        frames.close()

    @pytest.fixture
    def read(self, tmp_path):
        return lambda: list(read_frames(tmp_path / "a.seg"))


@pytest.fixture(scope="session")
def migrated(tmp_path_factory):
    """A file with the newest schema, to be copied: migrating takes longer than most tests."""
    file = tmp_path_factory.mktemp("migrated") / "m.db"
    SqlMetadata.at(file).close()
    return file


class TestSqliteFile(*testing.METADATA):
    @pytest.fixture
    def store(self, tmp_path, migrated):
        shutil.copy(migrated, tmp_path / "m.db")
        metadata = SqlMetadata.at(tmp_path / "m.db")
        yield metadata
        metadata.close()

    def test_a_newer_schema_is_refused(self, store, tmp_path):
        import sqlite3

        from hanok.core.errors import Conflict

        with sqlite3.connect(tmp_path / "m.db") as connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
        with pytest.raises(Conflict, match="newer Hanok"):
            SqlMetadata.at(tmp_path / "m.db")

    def test_a_file_that_is_no_database_is_said(self, tmp_path):
        from hanok.core.errors import Corrupt

        (tmp_path / "x.db").write_bytes(b"not a database, but long enough to look at" * 50)
        with pytest.raises(Corrupt):
            SqlMetadata.at(tmp_path / "x.db")


class TestSqliteInMemory(*testing.METADATA):
    @pytest.fixture
    def store(self):
        metadata = SqlMetadata("sqlite://")
        yield metadata
        metadata.close()


@pytest.fixture(scope="module")
def shared(postgres):
    with postgres.shared_database() as database:
        yield database


class TestPostgres(*testing.METADATA):
    @pytest.fixture
    def store(self, shared):
        url, empty = shared
        metadata = SqlMetadata(url)  # a new one each time: a store remembers the numbers of metrics
        yield metadata
        metadata.close()
        empty()


def ports():
    """Every Protocol of the stores' ports, but for the record that holds all aggregates."""
    modules = [m.name for m in pkgutil.iter_modules(stores.__path__) if m.name.startswith("ports")]
    for name in modules:
        module = importlib.import_module(f"hanok.stores.{name}")
        for port in vars(module).values():
            if getattr(port, "_is_protocol", False) and port.__module__ == module.__name__:
                if port.__name__ != "Repositories":
                    yield port


def test_every_port_is_small_and_has_a_contract_that_an_engine_runs():
    here = [c for c in globals().values() if inspect.isclass(c) and c.__name__.startswith("Test")]
    kept = list(ports())
    assert len(kept) > 40
    for port in kept:
        methods = [m for m in vars(port) if not m.startswith("_")]
        assert len(methods) <= 7, (port.__name__, methods)
        contract = getattr(testing, f"{port.__name__}Contract", None)
        assert contract is not None, f"{port.__name__} has no contract in hanok.stores.testing"
        assert any(issubclass(engine, contract) for engine in here), f"no engine runs the contract of {port.__name__}"


def test_no_contract_hides_a_test_of_another():
    names = [n for contract in testing.METADATA for n in vars(contract) if n.startswith("test_")]
    assert len(names) == len(set(names))


def test_every_engine_runs_the_contract_of_its_port():
    """A class that has all methods of a port is an engine of it."""
    here = [c for c in globals().values() if inspect.isclass(c) and c.__name__.startswith("Test")]
    tested = {base for c in here for base in c.__mro__}
    for name in ("TablesContract", "OnlineValuesContract", "BlobsContract"):
        engines = [c for c in here if issubclass(c, getattr(testing, name))]
        assert len(engines) == 2, name  # one on disk, one in memory
    assert set(testing.METADATA) <= tested
