"""Users, tokens, roles, projects, the audit record; webhooks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from hanok.core.access import Access, AuditEntry, Role, Token, User
from hanok.core.errors import WebhookNotFound
from hanok.core.registry import ModelVersion, RegisteredModel
from hanok.core.tracking import Experiment, Run
from hanok.core.webhooks import Delivery, Webhook
from hanok.stores.testing.shared import NOW


class ProjectsContract:
    def test_things_belong_to_the_project_of_their_experiment_or_model(self, store: Any) -> None:
        def work(r: Any) -> tuple[str, str]:
            made = r.experiments.add(Experiment("", "e", "mlflow-artifacts:/own", NOW, NOW, project="fraud"))
            r.runs.add(Run("r" * 32, made.id, "run", NOW, "mlflow-artifacts:/own/r"))
            r.registry.put_model(RegisteredModel("m", NOW, NOW, project="fraud"))
            version = r.registry.add_version(ModelVersion("v" * 32, "m", 0, NOW))
            return made.id, version.id

        experiment, version = store.write(work)
        of = {"experiment": experiment, "run": "r" * 32, "model": "m", "version": version}
        for kind, thing in of.items():
            assert store.read(lambda r, k=kind, t=thing: r.projects.of(k, t)) == "fraud", kind
        for kind in (*of, "trace", "logged model"):
            assert store.read(lambda r, k=kind: r.projects.of(k, "none")) is None, kind
        assert store.read(lambda r: r.projects.own_places()) == [("mlflow-artifacts:/own", "fraud")]
        assert store.read(lambda r: r.projects.counts()) == {"default": (1, 0), "fraud": (1, 1)}


class UsersContract:
    def test_users_keep_their_password_when_they_are_disabled(self, store: Any) -> None:
        user = User("ann", NOW)
        store.write(lambda r: (r.users.put(user), r.users.set_password("ann", "derived")))
        store.write(lambda r: r.users.put(replace(user, disabled=NOW)))
        found, password, nobody = store.read(
            lambda r: (r.users.get("ann"), r.users.password("ann"), r.users.get("bob"))
        )
        assert found == User("ann", NOW, NOW) and password == "derived" and nobody is None
        assert store.read(lambda r: r.users.all()) == [found]

    def test_users_are_listed_by_name_and_have_no_password_at_first(self, store: Any) -> None:
        for name in ("zoé", "한", "ann"):
            store.write(lambda r, n=name: r.users.put(User(n, NOW)))
        assert sorted(u.name for u in store.read(lambda r: r.users.all())) == sorted(["zoé", "한", "ann"])
        assert store.read(lambda r: r.users.password("ann")) == "" and store.read(lambda r: r.users.get("none")) is None


class TokensContract:
    def test_tokens_are_found_by_digest_and_revoked_once(self, store: Any) -> None:
        token = Token("t1", "ann", "laptop", "api", Access.EDIT, "", NOW, NOW + timedelta(days=1))
        session = Token("t2", "ann", "browser", "session", Access.OWN, "", NOW, NOW - timedelta(days=1))
        store.write(lambda r: (r.tokens.add(token, "d1"), r.tokens.add(session, "d2")))
        assert store.read(lambda r: r.tokens.find("d1")) == token
        assert store.read(lambda r: r.tokens.find("d")) is None
        store.write(lambda r: r.tokens.used({"t1": NOW}))
        assert store.write(lambda r: r.tokens.revoke("t1", NOW))
        assert not store.write(lambda r: r.tokens.revoke("t1", NOW))
        assert store.read(lambda r: r.tokens.find("d1")) == replace(token, last_used=NOW, revoked=NOW)
        assert store.write(lambda r: r.tokens.remove_expired("session", NOW)) == 1
        assert [t.id for t in store.read(lambda r: r.tokens.list("ann"))] == ["t1"]
        assert store.write(lambda r: r.tokens.revoke_of("ann", "session", NOW)) == 0


class RolesContract:
    def test_a_role_is_replaced_and_taken_away_and_changes_move_the_generation(self, store: Any) -> None:
        for level in (Access.READ, Access.OWN):
            store.write(lambda r, level=level: r.roles.grant(Role("ann", "*", level, NOW, "local")))
        assert store.read(lambda r: r.roles.of("ann")) == [Role("ann", "*", Access.OWN, NOW, "local")]
        before = store.read(lambda r: r.roles.generation())
        store.write(lambda r: r.roles.changed())
        assert store.read(lambda r: r.roles.generation()) > before
        assert store.write(lambda r: r.roles.revoke("ann", "*"))
        assert not store.write(lambda r: r.roles.revoke("ann", "*"))
        assert store.read(lambda r: r.roles.all()) == []


class AuditLogContract:
    def test_the_audit_record_is_read_newest_first_and_by_page(self, store: Any) -> None:
        def entry(i: int) -> AuditEntry:
            return AuditEntry(NOW, f"u{i % 2}", "", "::1", "POST", "/x", "p", f"r{i}", 403 if i == 3 else 200, i + 1)

        store.write(lambda r: r.audit.append([entry(i) for i in range(5)]))
        newest = store.read(lambda r: r.audit.list(limit=2))
        assert [e.resource for e in newest] == ["r4", "r3"]
        older = store.read(lambda r: r.audit.list(before=newest[-1].sequence))
        assert [e.resource for e in older] == ["r2", "r1", "r0"]
        assert [e.times for e in store.read(lambda r: r.audit.list(actor="u0"))] == [5, 3, 1]
        assert [e.resource for e in store.read(lambda r: r.audit.list(denied=True, project="p"))] == ["r3"]


class WebhooksContract:
    def test_a_webhook_is_replaced_and_goes_with_its_deliveries(self, store: Any) -> None:
        hooks = [Webhook(f"w{i}", f"é{i}", "https://x", ("a.b",), NOW + timedelta(seconds=i), NOW) for i in range(2)]
        store.write(lambda r: [r.webhooks.put(hook) for hook in reversed(hooks)])
        assert store.read(lambda r: r.webhooks.all()) == hooks
        changed = replace(hooks[0], active=False, secret="s", description="d", updated=NOW + timedelta(seconds=9))
        store.write(lambda r: r.webhooks.put(changed))
        assert store.read(lambda r: r.webhooks.get("w0")) == changed
        store.write(lambda r: r.webhook_deliveries.add([Delivery("d", "w0", 1, "a.b", "{}", NOW, NOW)]))
        store.write(lambda r: r.webhooks.remove("w0"))
        assert store.read(lambda r: r.webhook_deliveries.of_webhook("w0", limit=9)) == []
        with pytest.raises(WebhookNotFound):
            store.read(lambda r: r.webhooks.get("w0"))


class WebhookDeliveriesContract:
    def test_a_due_delivery_is_claimed_by_one_and_settled(self, store: Any) -> None:
        made = [
            Delivery(f"d{i}", "w", i, "a.b", "é", NOW + timedelta(seconds=i), NOW + timedelta(seconds=i))
            for i in range(3)
        ]
        store.write(lambda r: r.webhooks.put(Webhook("w", "n", "https://x", ("a.b",), NOW, NOW)))
        for _ in range(2):
            store.write(lambda r: r.webhook_deliveries.add(made))
        now, later = NOW + timedelta(seconds=1), NOW + timedelta(minutes=1)
        assert store.read(lambda r: r.webhook_deliveries.due(now, limit=9)) == made[:2]
        assert store.read(lambda r: r.webhook_deliveries.due(now, limit=1)) == made[:1]
        with ThreadPoolExecutor(8) as pool:
            claims = list(
                pool.map(lambda _: store.write(lambda r: r.webhook_deliveries.claim(made[0], later)), range(8))
            )
        assert sum(claims) == 1
        assert store.read(lambda r: r.webhook_deliveries.due(now, limit=9)) == made[1:2]
        store.write(lambda r: r.webhook_deliveries.settle(replace(made[0], due=None, attempts=1, outcome="200")))
        listed = store.read(lambda r: r.webhook_deliveries.of_webhook("w", limit=9))
        assert [d.id for d in listed] == ["d2", "d1", "d0"] and listed[2].outcome == "200"
        store.write(lambda r: r.webhook_deliveries.prune(later))
        assert [d.id for d in store.read(lambda r: r.webhook_deliveries.of_webhook("w", limit=9))] == ["d2", "d1"]
