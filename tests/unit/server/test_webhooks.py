"""webhooks/* as raw HTTP."""

API = "/api/2.0/mlflow"
BODY = {
    "name": "w",
    "url": "https://hooks.example/x",
    "events": [{"entity": "MODEL_VERSION", "action": "CREATED"}],
    "secret": "never-shown",
}


def test_a_webhook_is_made_read_changed_listed_and_deleted_and_its_secret_is_never_shown(client):
    made = client.post(f"{API}/webhooks", json=BODY)
    webhook = made.json()["webhook"]
    assert (webhook["status"], webhook["events"]) == ("ACTIVE", BODY["events"])
    place = f"{API}/webhooks/{webhook['webhook_id']}"
    changed = client.patch(place, json={"status": "DISABLED", "description": "d"})
    assert changed.json()["webhook"]["status"] == "DISABLED"
    assert changed.json()["webhook"]["last_updated_timestamp"] > webhook["last_updated_timestamp"]
    got, listed = client.get(place), client.get(f"{API}/webhooks")
    assert got.json()["webhook"] == listed.json()["webhooks"][0] == changed.json()["webhook"]
    assert not any("never-shown" in reply.text for reply in (made, changed, got, listed))
    assert client.delete(place).json() == {}
    gone = client.get(place)
    assert (gone.status_code, gone.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")


def test_the_list_is_paged(client):
    for number in range(3):
        client.post(f"{API}/webhooks", json=BODY | {"name": f"w{number}"})
    first = client.get(f"{API}/webhooks?max_results=2").json()
    second = client.get(f"{API}/webhooks", params={"max_results": 2, "page_token": first["next_page_token"]}).json()
    assert [w["name"] for w in first["webhooks"] + second["webhooks"]] == ["w0", "w1", "w2"]
    assert "next_page_token" not in second


def test_what_is_wrong_is_said(client):
    for wrong in (
        {"events": []},
        {"events": [{"entity": "MODEL_VERSION", "action": "EXCEEDED"}]},
        {"events": [{"entity": "NOTHING", "action": "CREATED"}]},
        {"url": "ftp://x"},
        {"url": 7},
        {"name": "a b"},
        {"status": "SLEEPING"},
        {"secret": "x" * 1001},
        {"url": "https://x/" + "y" * 3000},
    ):
        reply = client.post(f"{API}/webhooks", json=BODY | wrong)
        assert (reply.status_code, reply.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE"), wrong
