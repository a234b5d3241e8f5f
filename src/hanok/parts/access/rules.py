"""What a caller with less than all rights may do with each repository: one rule for each method.

A method without a rule is refused to such callers, so that what is forgotten here is closed, not open. A rule gets the
gate, the method, and its arguments; `places` functions say from the first argument what a call is about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from hanok.core.access import Access
from hanok.core.errors import DatasetNotFound
from hanok.core.lineage import Graph
from hanok.core.tracking import artifact_path
from hanok.parts.access.gate import Gate, Place

Rule = Callable[[Gate, Callable[..., Any], tuple[Any, ...], Mapping[str, Any]], Any]
Places = Callable[[Gate, Any], Iterable[Place]]


def first(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    return args[0] if args else next(iter(kwargs.values()), None)


def free(gate: Gate, method: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Belongs to no project, and the route's access is enough."""
    return method(*args, **kwargs)


def everywhere(needed: Access) -> Rule:
    def rule(gate: Gate, method: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        gate.everywhere(needed)
        return method(*args, **kwargs)

    return rule


def sees(places: Places) -> Rule:
    def rule(gate: Gate, method: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        gate.see(*places(gate, first(args, kwargs)))
        return method(*args, **kwargs)

    return rule


def changes(places: Places, *, moved: bool = False) -> Rule:
    """`moved`: afterwards something may belong elsewhere."""

    def rule(gate: Gate, method: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        gate.change(*places(gate, first(args, kwargs)))
        done = method(*args, **kwargs)
        if moved:
            gate.directory.forget()
        return done

    return rule


def hides(places: Places, instead: Callable[[], Any]) -> Rule:
    """A look-up that answers `instead` for what may not be seen."""

    def rule(gate: Gate, method: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        if not all(gate.may_see(p) for p in places(gate, first(args, kwargs))):
            return instead()
        return method(*args, **kwargs)

    return rule


def lists(place: Callable[[Gate, Any], Place]) -> Rule:
    """Only the items that may be seen. One item, or none, is filtered as well."""

    def rule(gate: Gate, method: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        found = method(*args, **kwargs)
        if isinstance(found, list):
            return [item for item in found if gate.may_see(place(gate, item))]
        return found if found is None or gate.may_see(place(gate, found)) else None

    return rule


def of_seen_experiments(
    gate: Gate, method: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    """The first argument names experiments, or is a query that does."""
    asked, rest = args[0], args[1:]
    if hasattr(asked, "experiment_ids"):
        return method(
            replace(asked, experiment_ids=tuple(gate.seen_experiments(asked.experiment_ids))), *rest, **kwargs
        )
    return method(gate.seen_experiments(asked), *rest, **kwargs)


# -- what the first argument is ----------------------------------------------------------------------------------


def _experiment(gate: Gate, thing: Any) -> list[Place]:
    return [gate.experiment(thing if isinstance(thing, str) else thing.id)]


def _in_experiment(gate: Gate, thing: Any) -> list[Place]:
    return [gate.experiment(thing.experiment_id)]


def _run(gate: Gate, thing: Any) -> list[Place]:
    return [gate.run(thing if isinstance(thing, str) else thing.id)]


def _runs(gate: Gate, ids: Any) -> list[Place]:
    return [gate.run(i) for i in ids]


def _logged_model(gate: Gate, thing: Any) -> list[Place]:
    return [gate.logged_model(thing if isinstance(thing, str) else thing.id)]


def _measured(gate: Gate, metrics: Any) -> list[Place]:
    return [gate.logged_model(m) for m in {m.model_id for m in metrics}]


def _model(gate: Gate, thing: Any) -> list[Place]:
    return [gate.model(thing if isinstance(thing, str) else getattr(thing, "model", None) or thing.name)]


def _trace(gate: Gate, thing: Any) -> list[Place]:
    return [gate.trace(thing if isinstance(thing, str) else thing.trace_id)]


def _path(gate: Gate, thing: Any) -> list[Place]:
    return gate.path(thing if isinstance(thing, str) else thing.path)


# -- rules that are not of one of those forms --------------------------------------------------------------------


def _add_experiment(gate: Gate, method: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    experiment = args[0]
    gate.land(experiment.project, "experiment", experiment.name)
    made = method(*args, **kwargs)
    if experiment.location:  # a place inside another project's artifacts would open them
        gate.directory.forget()
        inside = artifact_path(made.location)
        if inside is None:
            gate.everywhere(Access.EDIT)
        else:
            gate.change(*gate.path(inside))
    return made


def _put_trace(gate: Gate, method: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    trace = args[0]
    gate.change(gate.trace(trace.id), gate.experiment(trace.experiment_id))  # it may be there, in another experiment
    return method(*args, **kwargs)


def _of_seen_traces(gate: Gate, method: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    return method([i for i in args[0] if gate.may_see(gate.trace(i))], *args[1:], **kwargs)


def _link_traces(gate: Gate, method: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    traces, run = args
    gate.change(*(gate.trace(i) for i in traces), gate.run(run))
    return method(*args, **kwargs)


def _move_runs(gate: Gate, method: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    runs, experiment_id = args
    gate.change(*_runs(gate, runs), gate.experiment(experiment_id))
    done = method(*args, **kwargs)
    gate.directory.forget()
    return done


def _columns(gate: Gate, method: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """A table by name, and the experiments to take it from; all when none are named."""
    asked = args[1] if len(args) > 1 else kwargs.get("experiment_ids")
    known = [e.id for e in gate.r.experiments.all()] if asked is None else asked
    return method(args[0], gate.seen_experiments(known))


def _put_experiment(gate: Gate, method: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    experiment = args[0]
    gate.change(gate.experiment(experiment.id))
    gate.land(experiment.project, "experiment", experiment.id)
    done = method(*args, **kwargs)
    gate.directory.forget()
    return done


def _put_model(gate: Gate, method: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    model = args[0]
    held = gate.model(model.name)
    gate.change(held)
    if model.project != held.project:
        gate.land(model.project, "model", model.name)
    done = method(*args, **kwargs)
    if model.project != held.project:
        gate.directory.forget()
    return done


def _tombstone(gate: Gate, method: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    gate.change(gate.node(gate.r.lineage.node(first(args, kwargs))))
    return method(*args, **kwargs)


def _see_node(gate: Gate, method: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    node = method(*args, **kwargs)
    gate.see(gate.node(node))
    return node


def _see_graph(gate: Gate, method: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """The part of a graph that may be seen, or NodeNotFound when its first node may not."""
    gate.see(gate.node(gate.r.lineage.node(first(args, kwargs))))
    graph = method(*args, **kwargs)
    nodes = tuple(n for n in graph.nodes if gate.may_see(gate.node(n)))
    known, kept = {n.id for n in graph.nodes}, {n.id for n in nodes}
    hidden = known - kept
    return Graph(nodes, tuple(e for e in graph.edges if e.source not in hidden and e.target not in hidden))


def _children(gate: Gate, method: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    if not all(gate.may_see(p) for p in gate.path(first(args, kwargs))):
        return []
    return method(*args, **kwargs)


def declared(inner: Rule) -> Rule:
    """Of declarations only those of models belong to a project; their name comes second."""

    def rule(gate: Gate, method: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        if args[0] != "model":
            return method(*args, **kwargs)
        return inner(gate, lambda *more, **named: method(args[0], *more, **named), args[1:], kwargs)

    return rule


def _names(gate: Gate, method: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    found = method(*args, **kwargs)
    return [n for n in found if args[0] != "model" or gate.may_see(gate.model(n))]


def _record(inner: Rule) -> Rule:
    """Records are kept by kind and name; one whose name is a registered model belongs to that model's project."""

    def rule(gate: Gate, method: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        return inner(gate, lambda *more, **named: method(args[0], *more, **named), args[1:], kwargs)

    return rule


def _records(gate: Gate, method: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    return [body for body in method(*args, **kwargs) if gate.may_see(gate.model(body["_name"]))]


def _see_evaluation(gate: Gate, method: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """An evaluation dataset is seen by who sees one of its experiments."""
    places = _evaluation(gate, first(args, kwargs))
    if not places:
        gate.everywhere(Access.READ)
    elif not any(gate.may_see(place) for place in places):
        gate.see(*places)
    return method(*args, **kwargs)


def _change_evaluation(gate: Gate, method: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """It is changed by who may change all of them, those that it is to have included."""
    thing = first(args, kwargs)
    places = _evaluation(gate, thing if isinstance(thing, str) else thing.id)
    if not isinstance(thing, str):
        places += [gate.experiment(e) for e in thing.experiment_ids]
    if not places:
        gate.everywhere(Access.EDIT)
    gate.change(*places)
    return method(*args, **kwargs)


def _search_evaluation(gate: Gate, method: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    query = args[0]
    seen = gate.seen_experiments(query.experiment_ids or [e.id for e in gate.r.experiments.all()])
    return method(replace(query, experiment_ids=tuple(seen))) if seen else []


def _evaluation(gate: Gate, dataset_id: str) -> list[Place]:
    """A place for each experiment that it belongs to now; none for one that is not there yet."""
    try:
        held = gate.r.evaluation_datasets.get(dataset_id).experiment_ids
    except DatasetNotFound:
        return []
    return [Place(gate.experiment(e).project, "evaluation dataset", dataset_id) for e in held]


_change_run, _see_run = changes(_run), sees(_run)
_change_model = changes(_model)

RULES: Mapping[str, Mapping[str, Rule]] = {
    "experiments": {
        "add": _add_experiment,
        "put": _put_experiment,
        "get": sees(_experiment),
        "named": lists(lambda gate, e: Place(e.project, "experiment", e.id)),
        "all": lists(lambda gate, e: Place(e.project, "experiment", e.id)),
    },
    "runs": {
        "add": changes(_in_experiment),
        "put": _change_run,
        "get": _see_run,
        "search": of_seen_experiments,
        "add_params": _change_run,
        "set_tags": _change_run,
        "delete_tag": _change_run,
    },
    "metrics": {"append": _change_run, "history": _see_run, "latest": sees(_runs), "delete": _change_run},
    "run_listings": {"page": of_seen_experiments, "history": _see_run},
    "run_overview": {"count": of_seen_experiments, "extent": sees(_runs), "curves": sees(_runs)},
    "run_links": {
        "add_datasets": _change_run,
        "datasets_of": of_seen_experiments,
        "add_models_read": _change_run,
        "add_models_written": _change_run,
    },
    "logged_models": {
        "add": changes(_in_experiment),
        "put": changes(_logged_model),
        "get": sees(_logged_model),
        "of_experiments": of_seen_experiments,
        "add_metrics": changes(_measured),
    },
    "artifacts": {
        "put": changes(_path),
        "check_free": changes(_path),
        "get": hides(_path, lambda: None),
        "children": _children,
        "delete": changes(_path),
        "digests": everywhere(Access.READ),
    },
    "registry": {
        "put_model": _put_model,
        "models": lists(lambda gate, m: Place(m.project, "model", m.name)),
        "add_version": _change_model,
        "versions": hides(_model, list),
        "move_alias": _change_model,
        "alias_history": hides(_model, list),
        "put_version": _change_model,
    },
    "registry_upkeep": {
        "rename_model": changes(_model, moved=True),
        "remove_model": changes(_model, moved=True),
        "remove_version": _change_model,
        "all_versions": lists(lambda gate, v: gate.model(v.model)),
    },
    "tracking_upkeep": {
        "deleted_runs": everywhere(Access.OWN),
        "deleted_models": everywhere(Access.OWN),
        "contents": everywhere(Access.OWN),
        "purge_runs": everywhere(Access.OWN),
        "purge_models": everywhere(Access.OWN),
        "purge_experiment": everywhere(Access.OWN),
        "move_runs": _move_runs,
    },
    "blob_references": {"direct": everywhere(Access.OWN), "documents": everywhere(Access.OWN)},
    "imports": {"add_experiment": _add_experiment, "add_version": _change_model},
    "webhooks": dict.fromkeys(("put", "get", "all", "remove"), everywhere(Access.OWN)),
    "webhook_deliveries": dict.fromkeys(
        ("add", "due", "claim", "settle", "of_webhook", "prune"), everywhere(Access.OWN)
    ),
    "stage_history": {"add": _change_model, "of": hides(_model, list)},
    "run_tables": {"table": _columns},
    "traces": {
        "put": _put_trace,
        "of": _of_seen_traces,
        "search": of_seen_experiments,
        "count": of_seen_experiments,
        "oldest": sees(_experiment),
        "delete": changes(_experiment),
        "delete_tag": changes(_trace),
    },
    "spans": {"put": changes(_trace), "of": _of_seen_traces, "count": sees(_trace), "usage": sees(_trace)},
    "assessments": {"put": changes(_trace), "get": sees(_trace), "delete": changes(_trace)},
    "trace_links": {"to_run": _link_traces, "runs_of": sees(_trace), "to_prompts": changes(_trace)},
    "trace_statistics": {"groups": of_seen_experiments, "values": of_seen_experiments},
    "evaluation_datasets": {
        "put": _change_evaluation,
        "get": _see_evaluation,
        "search": _search_evaluation,
        "delete": _change_evaluation,
    },
    "evaluation_records": {
        "put": _change_evaluation,
        "with_inputs": _see_evaluation,
        "page": _see_evaluation,
        "delete": _change_evaluation,
        "count": _see_evaluation,
    },
    "gateway_secrets": dict.fromkeys(("put", "get", "all", "delete"), everywhere(Access.OWN)),
    "model_definitions": dict.fromkeys(("put", "get", "all", "delete"), everywhere(Access.OWN)),
    "gateway_endpoints": {
        **dict.fromkeys(("put", "get", "all", "delete"), everywhere(Access.OWN)),
        "named": free,  # whoever registers a scorer names one
    },
    "endpoint_bindings": dict.fromkeys(("put", "all", "delete"), everywhere(Access.OWN)),
    "scorers": {
        "add": changes(_in_experiment),
        "versions": sees(_experiment),
        "latest": sees(_experiment),
        "delete": changes(_experiment),
        "put_online": changes(_in_experiment),
        "online": lists(lambda gate, c: gate.experiment(c.experiment_id)),
    },
    "lineage": {
        "add": free,
        "node": _see_node,
        "find": lists(lambda gate, n: gate.node(n)),
        "walk": _see_graph,
        "neighbours": _see_graph,
        "tombstone": _tombstone,
    },
    "outbox": {
        "append": free,
        "after": everywhere(Access.READ),
        "cursor": everywhere(Access.READ),
        "advance": everywhere(Access.EDIT),
    },
    "declarations": {
        "put": declared(_change_model),
        "newest": declared(hides(_model, lambda: None)),
        "names": _names,
        "at_version": declared(hides(_model, lambda: None)),
    },
    "deployments": {
        "put": _change_model,
        "get": hides(_model, lambda: None),
        "all": lists(lambda gate, d: gate.model(d.name)),
        "history": hides(_model, list),
        "generation": free,
    },
    "workflows": {
        "start": free,
        "claim": free,
        "record": free,
        "finish": free,
        "steps": free,
        "get": free,
        "list": everywhere(Access.READ),
    },
    "records": {"put": _record(_change_model), "get": _record(hides(_model, lambda: None)), "list": _records},
}
"""Users, tokens, roles, projects and the audit record are not here: they are reached through their verbs alone."""
