"""What lies in files: blobs, folders of clients, uploads in parts, frames."""

from __future__ import annotations

import hashlib
import io
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hanok.core.errors import ArtifactNotFound, Conflict, UploadNotFound
from hanok.core.tracking import Part, Upload
from hanok.stores.testing.shared import NOW


class BlobsContract:
    """Content-addressed bytes."""

    def test_content_comes_back_under_its_sha256(self, store: Any) -> None:
        digest, size = store.put(io.BytesIO(b"hello"))
        assert (digest, size) == (hashlib.sha256(b"hello").hexdigest(), 5)
        assert store.open(digest).read() == b"hello"
        assert store.verify(digest)

    def test_equal_content_is_kept_once(self, store: Any) -> None:
        assert store.put(io.BytesIO(b"x"))[0] == store.put(iter([b"x"]))[0]
        assert len(list(store.digests())) == 1

    def test_what_is_not_there_is_said(self, store: Any) -> None:
        with pytest.raises(ArtifactNotFound):
            store.open("0" * 64)
        with pytest.raises(ArtifactNotFound):
            store.open("../../etc/passwd")

    def test_content_that_was_put_again_is_not_discarded(self, store: Any) -> None:
        digest, size = store.put(io.BytesIO(b"wanted"))
        before = datetime.now(UTC) - timedelta(minutes=5)
        store.put(io.BytesIO(b"wanted"))
        assert store.discard(digest, before) is None
        assert store.open(digest).read() == b"wanted"
        assert store.discard(digest, datetime.now(UTC) + timedelta(minutes=5)) == size
        assert store.discard(digest, datetime.now(UTC) + timedelta(minutes=5)) is None
        assert list(store.digests()) == []

    def test_deleted_content_is_gone_and_deleting_again_is_no_error(self, store: Any) -> None:
        digest, _ = store.put(io.BytesIO(b"x"))
        store.delete(digest)
        store.delete(digest)
        assert list(store.digests()) == []

    def test_equal_content_of_concurrent_writers_is_kept_once(self, store: Any) -> None:
        content = b"\0\xff" * 200_000
        with ThreadPoolExecutor(8) as pool:
            made = set(pool.map(lambda _: store.put(io.BytesIO(content)), range(16)))
        assert made == {(hashlib.sha256(content).hexdigest(), 400_000)}
        assert len(list(store.digests())) == 1 and store.open(made.pop()[0]).read() == content

    def test_a_stream_that_breaks_leaves_nothing(self, store: Any) -> None:
        def broken() -> Any:
            yield b"half"
            raise OSError("gone")

        with pytest.raises(OSError, match="gone"):
            store.put(broken())
        assert list(store.digests()) == []
        assert store.put(io.BytesIO(b""))[1] == 0


class FolderContract:
    """Artifacts outside the tree. `store` is an empty folder, `uri` names it."""

    def test_a_file_is_put_whole_listed_read_and_replaced(self, store: Any) -> None:
        for text in (b"one", b"two"):
            store.put("run/é/한.txt", iter([text]))
        artifact, stream = store.open("run/é/한.txt")
        with stream:
            assert (stream.read(), artifact.path, artifact.size_bytes) == (b"two", "run/é/한.txt", 3)
        assert [(a.path, a.is_folder) for a in store.children("run")] == [("run/é", True)]
        assert store.children("none") == []

    def test_a_file_lies_neither_where_a_folder_is_nor_below_a_file(self, store: Any) -> None:
        store.put("a/f", io.BytesIO(b"x"))
        for taken in ("a", "a/f/below"):
            with pytest.raises(Conflict):
                store.put(taken, io.BytesIO(b"x"))
        with pytest.raises(ArtifactNotFound):
            store.open("a/none")

    def test_nothing_leads_out_of_it(self, store: Any, uri: str) -> None:
        assert store.inside(uri) == "" and store.inside(f"{uri}/run/a") == "run/a"
        for outside in (f"{uri}/../x", f"{uri}2/x", "s3://bucket/x", "/", "file://elsewhere/x"):
            assert store.inside(outside) is None, outside


class UploadsContract:
    """Files in parts. `store` is empty, `blobs` is where they end."""

    def test_parts_in_any_order_become_one_blob(self, store: Any, blobs: Any) -> None:
        upload = Upload("secret-id", "1/a/é", 3, NOW)
        store.put(upload)
        parts = {n: store.put_part("secret-id", n, io.BytesIO(bytes([n]) * 5)) for n in (3, 1, 2)}
        assert store.get("secret-id") == upload and store.parts("secret-id") == [parts[1], parts[2], parts[3]]
        digest, size = store.assemble("secret-id", store.parts("secret-id"))
        assert size == 15 and blobs.open(digest).read() == b"\1" * 5 + b"\2" * 5 + b"\3" * 5
        store.put(Upload("secret-id", "1/a/é", 3, NOW, digest, size))
        assert store.parts("secret-id") == [] and store.get("secret-id").digest == digest

    def test_a_part_takes_the_place_of_an_earlier_one_of_its_number(self, store: Any) -> None:
        store.put(Upload("u", "p", 1, NOW))
        for text in (b"one", b"three"):
            made = store.put_part("u", 1, iter([text]))
        assert store.parts("u") == [made] and made == Part(1, hashlib.sha256(b"three").hexdigest(), 5)

    def test_parts_come_at_the_same_time(self, store: Any) -> None:
        store.put(Upload("u", "p", 16, NOW))
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: store.put_part("u", n, io.BytesIO(b"x" * n)), range(1, 17)))
        assert [p.size_bytes for p in store.parts("u")] == list(range(1, 17))

    def test_old_uploads_expire_and_unknown_ones_are_said(self, store: Any) -> None:
        store.put(Upload("old", "p", 1, NOW))
        store.put(Upload("new", "p", 1, NOW + timedelta(days=2)))
        assert store.expire(NOW + timedelta(days=1)) == 1
        store.remove("new")
        for unknown in ("old", "new", "../x"):
            with pytest.raises(UploadNotFound):
                store.get(unknown)
            with pytest.raises(UploadNotFound):
                store.put_part(unknown, 1, io.BytesIO(b"x"))


class FramesContract:
    """One append-only file of frames. `store` is empty; `read` gives its payloads."""

    def test_frames_are_numbered_and_read_in_order(self, store: Any, read: Any) -> None:
        payloads = [b"", b"\0" * 9, "é한".encode(), b"x" * 100_000]
        assert [store.append(p) for p in payloads] == [0, 1, 2, 3]
        store.sync()
        assert read() == payloads

    def test_concurrent_writers_lose_no_frame(self, store: Any, read: Any) -> None:
        with ThreadPoolExecutor(8) as pool:
            numbers = list(pool.map(lambda i: store.append(str(i).encode()), range(200)))
        assert sorted(numbers) == list(range(200))
        found = read()
        assert [found[n] for n in numbers] == [str(i).encode() for i in range(200)]

    def test_closing_twice_is_no_error(self, store: Any, read: Any) -> None:
        store.append(b"x")
        store.close()
        store.close()
        assert read() == [b"x"]
