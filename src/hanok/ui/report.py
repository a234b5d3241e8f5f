"""One file that a person reads: profile, checks and drift as HTML without any request to elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from hanok.compute.alarms import Verdict, judge
from hanok.compute.profiling import Profile, compare_tables, explore
from hanok.ui import svg
from hanok.ui.render import assets, environment

if TYPE_CHECKING:
    from hanok.engine.checking import FileCheck


@dataclass(frozen=True)
class Report:
    """What goes on the page. `checked` is the result of `hanok check`, `drift` the verdicts against a reference."""

    title: str
    profile: Profile
    checked: FileCheck | None = None
    drift: Sequence[Verdict] = ()
    reference: str = ""

    def html(self) -> str:
        """The whole page; styles are inside."""
        return environment().get_template("report.html").render(v=self, style=_style(), shape=_shape)

    def _repr_html_(self) -> str:
        """For a notebook: the page in a frame of its own, so that neither styles the other."""
        page = str(Markup.escape(self.html()))
        return f'<iframe srcdoc="{page}" style="width:100%;height:720px;border:0" sandbox></iframe>'


def profile(frame: Any, target: str = "", *, title: str = "Profile", reference: Any = None) -> Report:
    """Profile an Arrow table, or a pandas or Polars frame. In a notebook the result draws itself; `.profile` has the
    numbers, `.html()` the page. With `reference` columns are compared with it."""
    rows = arrow_table(frame)
    drift = judge(compare_tables(arrow_table(reference), rows)) if reference is not None else ()
    return Report(
        title, explore(rows, target), drift=sorted(drift, key=lambda v: -v.drift.effect), reference="reference"
    )


def arrow_table(frame: Any) -> Any:
    """An Arrow table of an Arrow, pandas or Polars frame."""
    import pyarrow as pa

    if isinstance(frame, pa.Table):
        return frame
    if hasattr(frame, "__arrow_c_stream__"):
        return pa.table(frame)
    return pa.Table.from_pandas(frame, preserve_index=False)


def _style() -> Markup:
    return Markup(assets()["hanok.css"].content.decode())  # our own file


def _shape(column: Any) -> Markup:
    title = f"{column.name}: " + ", ".join(
        f"{label} {share:.0%}" for label, share in zip(column.labels, column.shares, strict=True) if share >= 0.02
    )
    return svg.category_bars(column.shares, marker=None, title=title[:300])
