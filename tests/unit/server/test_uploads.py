"""Files in parts, links and ranges, as raw HTTP."""

import hashlib
from datetime import timedelta

import pytest

from hanok.core.clock import ReplayClock, SystemClock
from hanok.core.errors import Corrupt, Forbidden, StorageFull, UploadNotFound
from hanok.parts.tracking import Tracking, uploads
from hanok.stores.blobs import LocalBlobs, LocalUploads
from hanok.stores.sql import SqlMetadata

FILES = "/api/2.0/mlflow-artifacts"
PARTS = [b"a" * 70_000, b"b" * 70_000, b"c"]


def begin(client, *, folder="1/run/artifacts", name="big.bin", parts=3):
    reply = client.post(f"{FILES}/mpu/create/{folder}", json={"path": f"/home/ann/{name}", "num_parts": parts})
    assert reply.status_code == 200, reply.text
    return reply.json()


def send(client, credential, content):
    return client.put(credential["url"], content=content, headers=credential["headers"])


def listed(begun, replies):
    return [
        {"part_number": c["part_number"], "etag": r.headers["etag"], "url": c["url"]}
        for c, r in zip(begun["credentials"], replies, strict=False)
    ]


def complete(client, begun, parts, *, folder="1/run/artifacts", name="big.bin"):
    body = {"path": name, "upload_id": begun["upload_id"], "parts": parts}
    return client.post(f"{FILES}/mpu/complete/{folder}", json=body)


def test_parts_sent_in_any_order_become_the_file(client):
    begun = begin(client)
    assert [c["part_number"] for c in begun["credentials"]] == [1, 2, 3]
    replies = [send(client, begun["credentials"][n], PARTS[n]) for n in (2, 0, 1)]
    parts = listed(begun, [replies[1], replies[2], replies[0]])
    assert complete(client, begun, parts).json() == {}
    got = client.get(f"{FILES}/artifacts/1/run/artifacts/big.bin")
    assert got.content == b"".join(PARTS)
    assert got.headers["etag"] == f'"{hashlib.sha256(b"".join(PARTS)).hexdigest()}"'
    assert complete(client, begun, parts).status_code == 200, "a retried complete has no second effect"
    assert send(client, begun["credentials"][0], b"late").status_code == 409


def test_an_upload_goes_on_where_it_stopped(client):
    begun = begin(client)
    first = begun["credentials"][0]
    send(client, first, PARTS[0])
    seen = client.get(f"{FILES}/mpu/parts", headers=first["headers"]).json()
    digest = hashlib.sha256(PARTS[0]).hexdigest()
    assert seen["parts"] == [{"part_number": 1, "etag": digest, "size": 70_000}]
    assert (seen["num_parts"], seen["complete"]) == (3, False)
    etags = [{"part_number": 1, "etag": digest}]
    for n in (1, 2):
        reply = send(client, begun["credentials"][n], PARTS[n])
        etags.append({"part_number": n + 1, "etag": reply.headers["etag"]})
    assert complete(client, begun, etags).status_code == 200


@pytest.mark.parametrize(
    "folder",
    ["1/../../etc", "..", "1/%2e%2e/x", "1//x", "1/a\\..\\x", "1/%00"],
)
def test_no_part_of_a_path_climbs(client, folder):
    reply = client.post(f"{FILES}/mpu/create/{folder}", json={"path": "x", "num_parts": 1})
    assert reply.status_code in (400, 404)
    assert "upload_id" not in reply.text


@pytest.mark.parametrize("name", ["..", "a/..", "/", "x\x00"])
def test_no_name_is_a_way_out(client, name):
    assert client.post(f"{FILES}/mpu/create/1/r", json={"path": name, "num_parts": 1}).status_code == 400


@pytest.mark.parametrize("parts", [0, -1, 10_001, 2**40, "many"])
def test_the_number_of_parts_is_bounded(client, parts):
    assert client.post(f"{FILES}/mpu/create/1/r", json={"path": "x", "num_parts": parts}).status_code == 400


def test_a_part_needs_its_upload_and_an_announced_number(client):
    begun = begin(client, parts=1)
    first = begun["credentials"][0]
    assert client.put(first["url"], content=b"x").status_code == 403
    assert client.put(first["url"], content=b"x", headers={"X-Hanok-Upload": "../../1"}).status_code == 404
    beyond = first["url"].replace("/parts/1", "/parts/2")
    assert client.put(beyond, content=b"x", headers=first["headers"]).status_code == 400
    assert client.put(first["url"].replace("/parts/1", "/parts/-1"), content=b"x").status_code == 404


def test_what_is_missing_or_replaced_is_said_and_nothing_appears(client):
    begun = begin(client)
    replies = [send(client, c, PARTS[n]) for n, c in enumerate(begun["credentials"])]
    parts = listed(begun, replies)
    assert complete(client, begun, parts[:2]).status_code == 409
    assert complete(client, begun, [*parts, parts[0]]).status_code == 409
    send(client, begun["credentials"][1], b"another")
    assert complete(client, begun, parts).status_code == 409
    assert complete(client, begun, parts, name="other.bin").status_code == 400
    assert client.get(f"{FILES}/artifacts/1/run/artifacts/big.bin").status_code == 404


def test_an_aborted_upload_is_gone_and_aborting_again_is_no_error(client, tmp_path):
    begun = begin(client)
    send(client, begun["credentials"][0], PARTS[0])
    body = {"path": "big.bin", "upload_id": begun["upload_id"]}
    for _ in range(2):
        assert client.post(f"{FILES}/mpu/abort/1/run/artifacts", json=body).status_code == 200
    assert send(client, begun["credentials"][0], PARTS[0]).status_code == 404
    assert list((tmp_path / "uploads").iterdir()) == []


@pytest.fixture
def tracking(tmp_path):
    metadata, blobs = SqlMetadata("sqlite://"), LocalBlobs(tmp_path / "blobs")
    clock = ReplayClock(SystemClock().now())
    made = Tracking(metadata, blobs, clock, uploads=LocalUploads(tmp_path / "uploads", blobs))
    made.clock = clock
    yield made
    metadata.close()


def test_what_was_never_completed_is_forgotten_after_a_day(tracking, tmp_path):
    upload = tracking.uploads.begin("1/x", 1)
    tracking.uploads.put_part(upload.id, 1, iter([b"x"]))
    tracking.clock.move_to(tracking.clock.now() + timedelta(days=1, seconds=1))
    assert tracking.uploads.expire() == 0
    assert list((tmp_path / "uploads").iterdir()) == []
    with pytest.raises(UploadNotFound):
        tracking.uploads.parts(upload.id)


def test_open_uploads_are_bounded(tracking, monkeypatch):
    monkeypatch.setattr(uploads, "OPEN_MAX", 2)
    for number in range(2):
        tracking.uploads.begin(f"1/{number}", 1)
    with pytest.raises(StorageFull, match="2 uploads are open"):
        tracking.uploads.begin("1/x", 1)


def test_a_part_damaged_on_the_disk_is_noticed(tracking, tmp_path):
    upload = tracking.uploads.begin("1/x", 1)
    part = tracking.uploads.put_part(upload.id, 1, iter([b"precious"]))
    next((tmp_path / "uploads").glob(f"*/*{part.etag}*")).write_bytes(b"precioux")
    with pytest.raises(Corrupt):
        tracking.uploads.complete("1/x", upload.id, [(1, part.etag)])


def test_a_link_is_for_one_path_and_a_quarter_of_an_hour(tracking):
    token = tracking.links.token("1/a")
    tracking.links.check("1/a", token)
    for path, wrong in [("1/b", token), ("1/a", "9" * 18 + token[16:]), ("1/a", ""), ("1/a", "é.é")]:
        with pytest.raises(Forbidden):
            tracking.links.check(path, wrong)
    tracking.clock.move_to(tracking.clock.now() + timedelta(minutes=16))
    with pytest.raises(Forbidden, match="expired"):
        tracking.links.check("1/a", token)


@pytest.fixture
def stored(client):
    content = bytes(range(256)) * 10_000
    assert client.put(f"{FILES}/artifacts/1/a b.bin", content=content).status_code == 200
    return content


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("0-0", 0, 0), ("5-1999999", 5, 1_999_999), ("2559999-", 2_559_999, 2_559_999), ("-10", 2_559_990, 2_559_999)],
)
def test_a_range_is_what_was_asked_for(client, stored, asked, first, last):
    got = client.get(f"{FILES}/artifacts/1/a b.bin", headers={"Range": f"bytes={asked}"})
    assert (got.status_code, got.content) == (206, stored[first : last + 1])
    assert got.headers["content-range"] == f"bytes {first}-{last}/{len(stored)}"


def test_ranges_that_cannot_be_and_ranges_that_are_none(client, stored):
    url = f"{FILES}/artifacts/1/a b.bin"
    outside = client.get(url, headers={"Range": f"bytes={len(stored)}-"})
    assert (outside.status_code, outside.headers["content-range"]) == (416, f"bytes */{len(stored)}")
    for text in ("bytes=5-1", "bytes=-", "lines=1-2", "bytes=0-1,3-4", "bytes=x-y"):
        assert client.get(url, headers={"Range": text}).content == stored
    assert client.get(url, headers={"Range": "bytes=-0"}).status_code == 416


def test_a_client_that_has_the_file_gets_no_second_copy(client, stored):
    url = f"{FILES}/artifacts/1/a b.bin"
    etag = client.get(url).headers["etag"]
    same = client.get(url, headers={"If-None-Match": f'"other", {etag}'})
    assert (same.status_code, same.content) == (304, b"")
    changed = client.get(url, headers={"Range": "bytes=0-1", "If-Range": '"other"'})
    assert (changed.status_code, changed.content) == (200, stored)


def test_a_presigned_link_is_read_in_ranges_without_a_login(client, stored):
    link = client.get(f"{FILES}/presigned/1/a b.bin").json()
    assert link["file_size"] == len(stored)
    part = client.get(link["url"], headers=link["headers"] | {"Range": "bytes=1-3"})
    assert (part.status_code, part.content) == (206, stored[1:4])
    assert client.get(link["url"]).status_code == 403
    assert client.get(f"{FILES}/presigned/1/none").status_code == 404


def test_an_empty_file_has_no_range(client):
    client.put(f"{FILES}/artifacts/1/empty", content=b"")
    assert client.get(f"{FILES}/artifacts/1/empty").content == b""
    assert client.get(f"{FILES}/artifacts/1/empty", headers={"Range": "bytes=0-"}).status_code == 416


def test_the_server_says_that_it_takes_parts(client):
    info = client.get("/api/3.0/mlflow/server-info").json()
    assert (info["multipart_uploads_enabled"], info["multipart_downloads_enabled"]) == (True, True)
