"""Every engine keeps the contract of its port."""

from pathlib import Path

import pytest

from hanok.stores import testing
from hanok.stores.blobs import LocalBlobs
from hanok.stores.delta import DeltaTables
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


class TestSqliteFile(testing.MetadataContract, testing.AccessContract):
    @pytest.fixture
    def store(self, tmp_path):
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


class TestSqliteInMemory(testing.MetadataContract, testing.AccessContract):
    @pytest.fixture
    def store(self):
        metadata = SqlMetadata("sqlite://")
        yield metadata
        metadata.close()


class TestPostgres(testing.MetadataContract, testing.AccessContract):
    @pytest.fixture
    def store(self, postgres):
        metadata = SqlMetadata(postgres.database())
        yield metadata
        metadata.close()
