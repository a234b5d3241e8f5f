"""Registered models, deployments and durable work."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from hanok.core.errors import AlreadyExists, Conflict, LeaseLost, NotFound, StaleGeneration
from hanok.core.registry import AliasChange, ModelVersion, RegisteredModel, StageChange
from hanok.core.serving import Arm, Deployment
from hanok.core.tracking import Experiment
from hanok.core.workflows import DONE, FAILED, RUNNING, Step, Workflow
from hanok.stores.testing.shared import NOW


class RegistryContract:
    def test_versions_count_up_and_aliases_are_compare_and_set(self, store: Any) -> None:
        def version(i: str) -> ModelVersion:
            return ModelVersion(i, "m", 0, NOW)

        store.write(lambda r: r.registry.put_model(RegisteredModel("m", NOW, NOW)))
        made = [store.write(lambda r, i=i: r.registry.add_version(version(i))).version for i in "abc"]
        assert made == [1, 2, 3]

        def move(before: int | None, after: int | None) -> None:
            change = AliasChange(str(after), "m", "champion", before, after, NOW, "me", "why")
            store.write(lambda r: r.registry.move_alias(change))

        move(None, 1)
        move(1, 3)
        with pytest.raises(StaleGeneration):
            move(1, 2)
        assert store.read(lambda r: r.registry.models("m"))[0].aliases == {"champion": 3}
        assert [c.after for c in store.read(lambda r: r.registry.alias_history("m"))] == [3, 1]

    def test_of_concurrent_moves_of_an_alias_one_wins(self, store: Any) -> None:
        def prepare(r: Any) -> Any:
            r.registry.put_model(RegisteredModel("m", NOW, NOW))
            for i in range(3):
                r.registry.add_version(ModelVersion(f"v{i}", "m", 0, NOW))

        store.write(prepare)

        def move(i: Any) -> Any:
            change = AliasChange(str(i), "m", "champion", None, i % 3 + 1, NOW, "me", "why")
            try:
                store.write(lambda r: r.registry.move_alias(change))
            except StaleGeneration:
                return 0
            return 1

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(move, range(16))) == 1
        assert len(store.read(lambda r: r.registry.alias_history("m", "champion"))) == 1

    def test_a_version_keeps_its_number_when_it_is_replaced(self, store: Any) -> None:
        store.write(lambda r: r.registry.put_model(RegisteredModel("m", NOW, NOW, "é", {"t": "1"})))
        made = store.write(lambda r: r.registry.add_version(ModelVersion("v", "m", 9, NOW, facts={"n": 2**60})))
        store.write(
            lambda r: r.registry.put_version(replace(made, description="x", stage="Production", tags={"a": "b"}))
        )
        (found,) = store.read(lambda r: r.registry.versions("m"))
        assert (found.version, found.description, found.tags, found.facts) == (1, "x", {"a": "b"}, {"n": 2**60})
        assert (
            store.read(lambda r: r.registry.versions("m", 2)) == [] == store.read(lambda r: r.registry.models("none"))
        )


class RegistryUpkeepContract:
    def test_a_renamed_model_takes_versions_and_history_along(self, store: Any) -> None:
        def prepare(r: Any) -> Any:
            for name in ("m", "taken"):
                r.registry.put_model(RegisteredModel(name, NOW, NOW))
            r.registry.add_version(ModelVersion("v", "m", 0, NOW, updated=NOW))
            r.registry.move_alias(AliasChange("c", "m", "champion", None, 1, NOW, "me", "why"))

        store.write(prepare)
        with pytest.raises(AlreadyExists):
            store.write(lambda r: r.registry_upkeep.rename_model("m", "taken", NOW))
        store.write(lambda r: r.registry_upkeep.rename_model("m", "new", NOW))
        assert store.read(lambda r: r.registry.models("m")) == []
        assert store.read(lambda r: r.registry.models("new"))[0].aliases == {"champion": 1}
        assert [v.id for v in store.read(lambda r: r.registry.versions("new"))] == ["v"]
        assert [c.after for c in store.read(lambda r: r.registry.alias_history("new"))] == [1]

    def test_the_number_of_a_removed_version_is_not_given_again(self, store: Any) -> None:
        def prepare(r: Any) -> Any:
            r.registry.put_model(RegisteredModel("m", NOW, NOW))
            for i in range(3):
                r.registry.add_version(ModelVersion(f"v{i}", "m", 0, NOW, updated=NOW + timedelta(seconds=i)))

        store.write(prepare)
        store.write(lambda r: r.registry_upkeep.remove_version("m", 3))
        again = store.write(lambda r: r.registry.add_version(ModelVersion("v9", "m", 0, NOW, updated=NOW)))
        assert again.version == 4
        assert next(v.id for v in store.read(lambda r: r.registry_upkeep.all_versions())) == "v1"
        store.write(lambda r: r.registry_upkeep.remove_model("m"))
        assert store.read(lambda r: r.registry.versions("m")) == [] == store.read(lambda r: r.registry.models())


class StageHistoryContract:
    def test_stages_are_remembered_newest_first(self, store: Any) -> None:
        for number in (1, 2):
            change = StageChange(
                str(number), "é", number, "None", "Staging", NOW + timedelta(seconds=number), "ann", "why"
            )
            store.write(lambda r, change=change: r.stage_history.add(change))
        found = store.read(lambda r: r.stage_history.of("é"))
        assert [c.version for c in found] == [2, 1] and found[0].reason == "why"
        assert store.read(lambda r: r.stage_history.of("other")) == []


class ImportsContract:
    def test_an_imported_experiment_keeps_its_id_and_the_next_one_gets_a_free_one(self, store: Any) -> None:
        made = store.write(lambda r: r.imports.add_experiment(Experiment("77", "churn", "", NOW, NOW)))
        assert (made.id, made.location) == ("77", "mlflow-artifacts:/77")
        taken = store.write(lambda r: r.imports.add_experiment(Experiment("77", "other", "", NOW, NOW)))
        fresh = store.write(lambda r: r.experiments.add(Experiment("", "fresh", "", NOW, NOW)))
        assert len({made.id, taken.id, fresh.id}) == 3

    def test_an_imported_version_keeps_its_number(self, store: Any) -> None:
        def work(r: Any) -> Any:
            r.registry.put_model(RegisteredModel("late", NOW, NOW))
            first = r.imports.add_version(ModelVersion("c" * 32, "late", 7, NOW, updated=NOW))
            again = r.imports.add_version(ModelVersion("d" * 32, "late", 7, NOW, updated=NOW))
            return first, again, r.registry.add_version(ModelVersion("e" * 32, "late", 0, NOW, updated=NOW)).version

        assert store.write(work) == (True, False, 8)


class DeploymentsContract:
    def test_a_deployment_changes_only_from_the_generation_that_was_seen(self, store: Any) -> None:
        def put(expected: int, version: int) -> None:
            arms = (Arm(version, "primary", 100),)
            store.write(lambda r: r.deployments.put(Deployment("d", 0, arms, NOW, "me", "why"), expected=expected))

        put(0, 1)
        put(1, 2)
        with pytest.raises(StaleGeneration):
            put(1, 3)
        assert store.read(lambda r: r.deployments.get("d")).primary == 2
        assert [d.generation for d in store.read(lambda r: r.deployments.history("d"))] == [2, 1]

    def test_of_concurrent_deployments_from_one_generation_one_wins(self, store: Any) -> None:
        def put(version: Any) -> Any:
            arms = (Arm(version, "primary", 100), Arm(99, "shadow"))
            try:
                store.write(lambda r: r.deployments.put(Deployment("d", 0, arms, NOW, "me", "é"), expected=0))
            except StaleGeneration:
                return 0
            return version

        with ThreadPoolExecutor(8) as pool:
            won = [v for v in pool.map(put, range(1, 17)) if v]
        found = store.read(lambda r: r.deployments.get("d"))
        assert [found.primary] == won and found.arms[1] == Arm(99, "shadow") and found.reason == "é"
        assert store.read(lambda r: r.deployments.all()) == [found]
        assert store.read(lambda r: r.deployments.get("none")) is None

    def test_the_generation_of_all_grows_with_every_change(self, store: Any) -> None:
        before = store.read(lambda r: r.deployments.generation())
        for name in ("a", "b"):
            deployment = Deployment(name, 0, (Arm(1, "primary", 100),), NOW, "me", "why")
            store.write(lambda r, d=deployment: r.deployments.put(d, expected=0))
            after = store.read(lambda r: r.deployments.generation())
            assert after > before
            before = after


class WorkflowsContract:
    def test_a_finished_step_is_recorded_once_and_a_stale_holder_is_refused(self, store: Any) -> None:
        workflow = store.write(lambda r: r.workflows.start(Workflow("w", "k", "key", NOW)))
        assert store.write(lambda r: r.workflows.start(Workflow("w2", "k", "key", NOW))).id == workflow.id
        later = NOW + timedelta(seconds=30)
        first = store.write(lambda r: r.workflows.claim("w", "one", NOW, later))
        with pytest.raises(Conflict):
            store.write(lambda r: r.workflows.claim("w", "two", NOW, later))
        store.write(lambda r: r.workflows.record("w", first, Step("s", {"x": 1}, NOW)))
        second = store.write(
            lambda r: r.workflows.claim("w", "two", later + timedelta(seconds=1), later + timedelta(minutes=1))
        )
        assert second > first
        with pytest.raises(LeaseLost):
            store.write(lambda r: r.workflows.record("w", first, Step("t", {}, NOW)))
        store.write(lambda r: r.workflows.finish("w", second, DONE, {"ok": True}, NOW))
        assert [s.name for s in store.read(lambda r: r.workflows.steps("w"))] == ["s"]
        assert store.read(lambda r: r.workflows.get("w")).result == {"ok": True}

    def test_workflows_are_listed_newest_first_by_kind_and_state(self, store: Any) -> None:
        for i in range(3):
            workflow = Workflow(f"w{i}", "train" if i else "replay", f"k{i}", NOW + timedelta(seconds=i), {"é": 2**60})
            store.write(lambda r, w=workflow: r.workflows.start(w))
        fence = store.write(lambda r: r.workflows.claim("w1", "one", NOW, NOW + timedelta(seconds=9)))
        store.write(lambda r: r.workflows.finish("w1", fence, FAILED, {"error": "x"}, NOW))

        def ids(**wanted: Any) -> Any:
            return [w.id for w in store.read(lambda r: r.workflows.list(**wanted))]

        assert ids() == ["w2", "w1", "w0"] and ids(kind="train") == ["w2", "w1"] and ids(limit=1) == ["w2"]
        assert ids(kind="train", state=RUNNING) == ["w2"]
        assert store.read(lambda r: r.workflows.get("w2")).arguments == {"é": 2**60}
        with pytest.raises(NotFound):
            store.read(lambda r: r.workflows.get("none"))
        with pytest.raises(Conflict):
            store.write(lambda r: r.workflows.claim("w1", "two", NOW + timedelta(hours=1), NOW + timedelta(hours=2)))

    def test_the_holder_renews_its_lease_under_one_fence_and_steps_keep_their_order(self, store: Any) -> None:
        store.write(lambda r: r.workflows.start(Workflow("w", "k", "key", NOW)))
        soon, later = NOW + timedelta(seconds=30), NOW + timedelta(seconds=60)
        first = store.write(lambda r: r.workflows.claim("w", "one", NOW, soon))
        assert store.write(lambda r: r.workflows.claim("w", "one", NOW, later)) == first
        with pytest.raises(Conflict):
            store.write(lambda r: r.workflows.claim("w", "two", soon + timedelta(seconds=1), later))
        for name in ("b", "a", "b"):
            store.write(lambda r, n=name: r.workflows.record("w", first, Step(n, {"n": n}, NOW)))
        assert [s.name for s in store.read(lambda r: r.workflows.steps("w"))] == ["b", "a"]
