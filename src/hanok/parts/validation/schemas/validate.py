"""Hold the statistics of a data set to a schema: anomalies by path, for the data set, and what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field

from hanok.core.json import Json
from hanok.parts.validation.schemas.comparators import check_sizes
from hanok.parts.validation.schemas.composed import check_sparse, check_weighted
from hanok.parts.validation.schemas.features import check_feature, check_specification, new_feature
from hanok.parts.validation.schemas.findings import Finding, Reason, inactive, required
from hanok.parts.validation.schemas.views import DatasetView, FeatureView, Path, path_text, whole
from hanok.wire.tfdv import Message


@dataclass(slots=True)
class Report:
    """`anomalies` by path, `dataset` about the whole, `measured` drift and skew by path, and `proposed`: the schema
    that the data would fit, for a person to accept or not. `data_missing`: the statistics are of no example at all."""

    anomalies: dict[Path, list[Reason]] = field(default_factory=dict)
    dataset: list[Reason] = field(default_factory=list)
    measured: dict[Path, dict[str, dict[str, float]]] = field(default_factory=dict)
    proposed: Message = field(default_factory=lambda: Message("Schema"))
    data_missing: bool = False

    @property
    def good(self) -> bool:
        return not self.anomalies and not self.dataset and not self.data_missing

    def as_dict(self) -> dict[str, Json]:
        """Types by path and the measurements, which is what other tools read, then each reason in full."""
        everything = {path_text(p): reasons for p, reasons in self.anomalies.items()}
        return {
            "anomalies": {path: [r.type for r in reasons] for path, reasons in everything.items()},
            "dataset": [r.type for r in self.dataset],
            "measurements": {".".join(p): sides for p, sides in self.measured.items()},
            "data_missing": self.data_missing,
            "reasons": [
                {"path": path} | asdict(r)
                for path, reasons in [*everything.items(), ("", self.dataset)]
                for r in reasons
            ],
        }


def validate(
    statistics: Message,
    schema: Message,
    *,
    environment: str | None = None,
    previous: Message | None = None,
    serving: Message | None = None,
    previous_version: Message | None = None,
) -> Report:
    """Check a DatasetFeatureStatisticsList against a Schema, in the way TFDV documents.

    `previous` is the base of drift, `serving` of skew, `previous_version` of the number of examples. Each of the lists
    stands for its whole data set; slices are validated by passing them alone.
    """
    report = Report(proposed=schema.copy())
    stats = whole(statistics)
    if stats is None or not stats["num_examples"]:
        report.data_missing = True
        return report
    dataset = DatasetView(stats)
    others = [_other(s, dataset.weighted) for s in (previous, serving, previous_version)]
    run = _Run(report, schema, dataset, environment, others)
    run.features()
    run.missing()
    run.nameless()
    run.sizes()
    return report


def _other(statistics: Message | None, weighted: bool) -> DatasetView | None:
    stats = whole(statistics) if statistics is not None else None
    return None if stats is None else DatasetView(stats, weighted=weighted)


class _Run:
    def __init__(
        self,
        report: Report,
        schema: Message,
        dataset: DatasetView,
        environment: str | None,
        others: Sequence[DatasetView | None],
    ) -> None:
        self.report, self.schema, self.dataset, self.environment = report, schema, dataset, environment
        self.previous, self.serving, self.version = others

    def features(self) -> None:
        for view in self.dataset.roots():
            self._walk(view)

    def _walk(self, view: FeatureView) -> None:
        path = view.path
        feature = _find(self.report.proposed, path, "feature")
        sparse = _find(self.report.proposed, path, "sparse_feature")
        weighted = _find(self.report.proposed, path, "weighted_feature") if len(path) == 1 else None
        if feature is None and sparse is None and weighted is None:
            self._keep(path, [Reason("SCHEMA_NEW_COLUMN", "the schema does not have it")])
            self._propose(view)
            return
        if all(f is None or inactive(f) for f in (feature, sparse, weighted)):
            return
        if weighted is not None and not inactive(weighted):
            self._composed(path, weighted, [feature, sparse], "WEIGHTED", view)
        elif sparse is not None and not inactive(sparse):
            self._composed(path, sparse, [feature], "SPARSE", view)
        elif feature is not None:
            finding = Finding(feature)
            measured = check_feature(
                finding,
                view,
                self.schema,
                environment=self.environment,
                previous=self.previous,
                serving=self.serving,
            )
            self._keep(path, finding.reasons)
            if measured:
                self.report.measured[path] = measured
            if finding.reasons and inactive(feature):
                return
            for child in self.dataset.children(path):
                self._walk(child)

    def _composed(
        self, path: Path, own: Message, same_name: Sequence[Message | None], kind: str, view: FeatureView
    ) -> None:
        finding = Finding(own)
        rivals = [f for f in same_name if f is not None and not inactive(f)]
        if rivals:
            finding.add(f"{kind}_FEATURE_NAME_COLLISION", "another feature has its name", own["name"])
            for rival in [own, *rivals]:
                rival.set("lifecycle_stage", "DEPRECATED")
        elif kind == "SPARSE":
            check_sparse(finding, view)
        else:
            check_weighted(finding, view)
        self._keep(path, finding.reasons)

    def missing(self) -> None:
        """Features that the schema requires and the data does not have."""
        for path, feature in list(_required(self.schema, self.schema, self.environment)):
            if path not in self.dataset.features:
                self._keep(path, [Reason("SCHEMA_MISSING_COLUMN", "the data does not have it")])
                ours = _find(self.report.proposed, path, "feature")
                if ours is not None and feature.has("name"):
                    ours.set("lifecycle_stage", "DEPRECATED")

    def nameless(self) -> None:
        """A feature without a name matches no data, so it is found here."""
        for feature in self.report.proposed["feature"]:
            if not feature.has("name") and not inactive(feature):
                finding = Finding(feature)
                check_specification(finding, self.schema)
                self._keep(("",), finding.reasons)

    def sizes(self) -> None:
        if self.schema.has("dataset_constraints"):
            finding = Finding(self.report.proposed["dataset_constraints"])
            check_sizes(finding, self.dataset, self.previous, self.version)
            self.report.dataset += finding.reasons

    def _keep(self, path: Path, reasons: list[Reason]) -> None:
        if reasons:
            self.report.anomalies.setdefault(path, []).extend(reasons)

    def _propose(self, view: FeatureView) -> None:
        into = self.report.proposed if len(view.path) == 1 else _find(self.report.proposed, view.path[:-1], "feature")
        if into is not None:
            holder = into if into.kind.name == "Schema" else into.sub("struct_domain")
            holder.set("feature", [*holder["feature"], new_feature(view)])
            for child in self.dataset.children(view.path):
                self._propose(child)


def _find(schema: Message, path: Path, field_name: str) -> Message | None:
    """A feature by path; the steps before the last are features with a struct_domain."""
    holder = schema
    for step in path[:-1]:
        parent = next((f for f in holder["feature"] if f["name"] == step), None)
        if parent is None or not parent.has("struct_domain"):
            return None
        holder = parent["struct_domain"]
    return next((f for f in holder[field_name] if f["name"] == path[-1]), None)


def _required(
    schema: Message, holder: Message, environment: str | None, above: Path = ()
) -> Iterator[tuple[Path, Message]]:
    for feature in holder["feature"]:
        path = (*above, feature["name"])
        if feature.has("name") and required(schema, feature, environment):
            yield path, feature
        if not inactive(feature):
            yield from _required(schema, feature["struct_domain"], environment, path)
