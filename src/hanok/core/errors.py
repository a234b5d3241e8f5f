"""Everything a caller may catch.

Each error says what happened, why, and what to do next; carries a stable `code` for programs, the HTTP status a
server answers with, and the exit status the command line ends with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


def printable(text: str) -> str:
    """The text, with unpaired surrogates spelled out: it goes into JSON, SQL and logs, which do not take them."""
    return text.encode("utf-8", "backslashreplace").decode()


def words(error: BaseException) -> str:
    """What an error of somebody's code says, whatever it is made of: `ValueError: no such thing`."""
    kind = type(error).__name__
    try:
        return printable(f"{kind}: {error}")
    except Exception:  # noqa: BLE001 (its own text ends here: it cannot be made)
        return f"{kind}, whose own text cannot be made"


class HanokError(Exception):
    """Base of all errors that Hanok raises on purpose."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, **fields: object) -> None:
        self.message = printable(message)
        super().__init__(self.message)
        self.fields = fields

    def as_dict(self) -> dict[str, object]:
        """The body that every Hanok protocol answers with."""
        return {"error": {"code": self.code, "message": self.message, **self.fields}}


class Invalid(HanokError):
    """The request or the file is not what it must be."""

    code, status, exit_code = "invalid", 400, 2


class DeclarationError(Invalid):
    """A project declares something that cannot work."""

    code = "declaration"


class ConfigError(Invalid):
    """`hanok.toml` or a setting cannot be read."""

    code = "config"


class BadData(Invalid):
    """A batch cannot be read as the table it is for."""

    code = "bad_data"


class Unreadable(Invalid):
    """A schema, a suite of checks or statistics have an error; the message names the line and column."""

    code = "unreadable"


class MetricFailed(Invalid):
    """A metric of a check has no value: no such column, another type, no rows, or wrong SQL."""

    code = "metric_failed"


class BadKey(Invalid):
    """A value is no key of the type that its column has; the fields name key, value and type."""

    code = "bad_key"


class SchemaMismatch(BadData):
    """A batch lacks a column, or has it in another type."""

    code = "schema_mismatch"


class SignatureMismatch(Invalid):
    """A prediction request does not match the model's signature."""

    code = "signature_mismatch"


class NotFound(HanokError):
    """What was asked for does not exist."""

    code, status = "not_found", 404


class ExperimentNotFound(NotFound):
    code = "experiment_not_found"


class RunNotFound(NotFound):
    code = "run_not_found"


class TagNotFound(NotFound):
    """The field `key` names the tag."""

    code = "tag_not_found"


class LoggedModelNotFound(NotFound):
    code = "logged_model_not_found"


class TraceNotFound(NotFound):
    code = "trace_not_found"


class AssessmentNotFound(NotFound):
    code = "assessment_not_found"


class DatasetNotFound(NotFound):
    code = "dataset_not_found"


class ModelNotFound(NotFound):
    code = "model_not_found"


class SourceNotFound(NotFound):
    code = "source_not_found"


def no_model(name: str, seen: Sequence[str] = ()) -> ModelNotFound:
    """The same words for a model that is not there and for one that the caller may not see, with none but the names
    that he may see."""
    told = f" (declared: {', '.join(sorted(seen))})" if seen else ""
    return ModelNotFound(
        f"there is no model {name[:120]!r} that answers or is declared{told}; 'hanok model list' shows all"
    )


def undeclared(name: str, version: int, seen: Sequence[str]) -> ModelNotFound:
    """For what wants a declaration, of a model that only answers."""
    return ModelNotFound(
        f"the project declares no model {name[:120]!r} (declared: {', '.join(sorted(seen)) or 'none'}); version "
        f"{version} still answers under that name. For more than asking and labelling it, declare it again: hanok apply"
    )


def no_table(name: str) -> SourceNotFound:
    """As `no_model`, for tables."""
    return SourceNotFound(f"there is no table {name[:120]!r}; 'hanok table list' shows all")


class FeatureViewNotFound(NotFound):
    code = "feature_view_not_found"


class PredictionNotFound(NotFound):
    code = "prediction_not_found"


class ArtifactNotFound(NotFound):
    code = "artifact_not_found"


class StudyNotFound(NotFound):
    code = "study_not_found"


class TrialNotFound(NotFound):
    code = "trial_not_found"


class UploadNotFound(NotFound):
    """No upload in parts is open under this id: it was aborted, or it expired."""

    code = "upload_not_found"


class WebhookNotFound(NotFound):
    """The field `webhook` holds the id."""

    code = "webhook_not_found"


class GatewayItemNotFound(NotFound):
    """A secret, a model definition or an endpoint of the gateway."""

    code = "gateway_item_not_found"


class ScorerNotFound(NotFound):
    code = "scorer_not_found"


class NodeNotFound(NotFound):
    code = "node_not_found"


class Conflict(HanokError):
    """The state is not what the request assumes; nothing was changed."""

    code, status = "conflict", 409


class StudyExists(Conflict):
    """Another study has this name."""

    code = "study_exists"


class TrialEnded(Conflict):
    """The trial has ended; what it was told before stays."""

    code = "trial_ended"


class AlreadyExists(Conflict):
    code = "already_exists"


class StaleGeneration(Conflict):
    """A compare-and-set lost: somebody changed it in between."""

    code = "stale_generation"


class LeaseLost(Conflict):
    """Another worker took over this work; the result of this one is refused."""

    code = "lease_lost"


class Cancelled(LeaseLost):
    """This work was cancelled while it was done."""

    code = "cancelled"


class HomeLocked(Conflict):
    """Another process is the writer of this home."""

    code, status, exit_code = "home_locked", 409, 3


class PortInUse(Conflict):
    code, exit_code = "port_in_use", 3


class InvalidPath(Invalid):
    """A path of an artifact that could lead out of its folder."""

    code = "invalid_path"


class RunDeleted(Invalid):
    """A deleted run takes no more metrics, params, tags or links."""

    code = "run_deleted"


class ParamChanged(Invalid):
    """A param of a run keeps the value that it was first logged with."""

    code = "param_changed"


class NotTrainable(Invalid):
    """The training set cannot yield a model."""

    code, status = "not_trainable", 422


class LabelGivenAway(NotTrainable):
    """A column is certain to give the label away; the message has the evidence."""

    code = "label_given_away"


class TransformFailed(Invalid):
    """A `hk.transform` raised, gave another type or length, or looks at other rows; the message names it and rows."""

    code = "transform_failed"


class OwnLabelVisible(NotTrainable):
    """Rows see their own label through a feature view before it is known; the fields say which view and how many."""

    code = "own_label_visible"


class TrainingFailed(HanokError):
    """A user's own training function raised."""

    code, status = "training_failed", 422


class TrainingDied(TrainingFailed):
    """The process that trained a model ended by itself or was killed; the message has its last lines."""

    code, status = "training_died", 500


class TrainingTimedOut(TrainingFailed):
    """A training was still at it after the time that a training may take, and was stopped."""

    code, status = "training_timed_out", 504


class Suspended(HanokError):
    """The server stops in the middle of this work; its next start goes on with it."""

    code, status = "suspended", 503


class ConversionFailed(HanokError):
    """A trained object cannot be turned into a format that is safe to serve."""

    code, status = "conversion_failed", 422


class Unsafe(HanokError):
    """Refused because it could run foreign code or reach where it must not."""

    code, status = "unsafe", 403


class Unauthenticated(HanokError):
    code, status = "unauthenticated", 401


class Forbidden(HanokError):
    code, status = "forbidden", 403


class Throttled(HanokError):
    """Too many failed logins; the field `retry_after_s` says how long to wait."""

    code, status, exit_code = "throttled", 429, 3


class TooLarge(HanokError):
    """A body or a batch is over its limit."""

    code, status = "too_large", 413


class UnsupportedMedia(HanokError):
    """A body in a format or an encoding that this route does not read."""

    code, status = "unsupported_media_type", 415


class StorageFull(HanokError):
    """The disk is full: nothing was acknowledged, reads go on."""

    code, status = "storage_full", 507


class Corrupt(HanokError):
    """Stored bytes do not match their checksum."""

    code = "corrupt"


class MissingExtra(HanokError):
    """An optional package is needed for this."""

    code, status = "missing_extra", 501


class ScoringFailed(HanokError):
    """A model raised, or gave no finite score; what it was given is in the prediction log."""

    code, status = "scoring_failed", 500


class Unavailable(HanokError):
    """The service cannot answer now; try again."""

    code, status, exit_code = "unavailable", 503, 3
