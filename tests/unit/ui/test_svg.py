"""Values land where they should; what comes from outside cannot leave its place."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest

from hanok.ui import svg

NAMES = "{http://www.w3.org/2000/svg}"


def parsed(picture: svg.Svg) -> ElementTree.Element:
    return ElementTree.fromstring(str(picture))


def test_a_scale_maps_ends_to_ends_and_the_middle_to_the_middle() -> None:
    scale = svg.Scale(10, 20, 100, 300)
    assert (scale(10), scale(15), scale(20)) == (100, 200, 300)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 1.0], [0, 0.25, 0.5, 0.75, 1.0]),
        ([0.37, 0.81], [0.2, 0.4, 0.6, 0.8, 1.0]),
        ([0.0, 930.0], [0, 250, 500, 750, 1000]),
    ],
)
def test_ticks_are_round_and_enclose_the_values(values: list[float], expected: list[float]) -> None:
    assert svg.nice_ticks(values) == pytest.approx(expected)


def test_a_line_runs_from_the_left_edge_to_the_right_edge_and_breaks_at_gaps() -> None:
    picture = svg.line_chart(["a", "b", "c", "d"], [svg.Series("s", (0.0, 1.0, None, 1.0))], title="t")
    path = next(
        p.attrib["d"] for p in parsed(picture).iter(f"{NAMES}path") if "stroke-width:1.8" in p.attrib.get("style", "")
    )
    points = re.findall(r"([ML])([\d.]+) ([\d.]+)", path)
    assert [p[0] for p in points] == ["M", "L", "M"]
    assert float(points[0][1]) == svg.LEFT and float(points[-1][1]) == svg.WIDTH - svg.RIGHT
    assert float(points[0][2]) == svg.HEIGHT - svg.BOTTOM and float(points[1][2]) == svg.TOP


def test_an_interval_is_a_gain_only_when_it_lies_right_of_zero() -> None:
    gain = str(svg.interval(0.1, 0.2, 0.3, bounds=(-0.3, 0.3), title="t"))
    loss = str(svg.interval(-0.3, -0.2, -0.1, bounds=(-0.3, 0.3), title="t"))
    unclear = str(svg.interval(-0.1, 0.0, 0.1, bounds=(-0.3, 0.3), title="t"))
    assert svg.TONES[0] in gain and svg.ALERT in loss
    assert svg.TONES[0] not in unclear and svg.ALERT not in unclear


def test_the_areas_of_a_histogram_are_its_shares() -> None:
    picture = svg.histogram([svg.Bin(0, 1, 0.5), svg.Bin(1, 3, 0.5)], marker=None, title="t", width=100, height=45)
    path = next(p.attrib["d"] for p in parsed(picture).iter(f"{NAMES}path") if "opacity:.28" in p.attrib["style"])
    floor = 40.0
    bars = [tuple(map(float, b)) for b in re.findall(r"M([\d.]+) 40V([\d.]+)H([\d.]+)", path)]
    areas = [(right - left) * (floor - top) for left, top, right in bars]
    assert areas[0] == pytest.approx(areas[1], rel=0.02)


def test_a_marker_beyond_the_ends_stays_inside_the_picture() -> None:
    picture = str(svg.histogram([svg.Bin(0, 1, 1.0)], marker=1e9, title="t", width=100))
    assert 'd="M95.0' in picture


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_what_is_no_number_is_left_out(value: float | None) -> None:
    for picture in (
        svg.line_chart(["a", "b"], [svg.Series("s", (value, 1.0))], title="t", reference=value),
        svg.sparkline([value, 1.0], title="t"),
        svg.bar(value if value is not None else math.nan, title="t"),
        svg.histogram([svg.Bin(0, 1, 1.0)], marker=value, title="t"),
    ):
        assert "nan" not in str(picture) and "inf" not in str(picture)
        parsed(picture)


def test_names_are_escaped_and_every_chart_has_a_title() -> None:
    hostile = '"><script>alert(1)</script>&'
    pictures = (
        svg.line_chart(
            [hostile, "b"],
            [svg.Series(hostile, (1.0, 2.0)), svg.Series("b", (1.0, 2.0))],
            title=hostile,
            marks={"b": hostile},
        ),
        svg.bars([(hostile, 1.0)], title=hostile),
        svg.sparkline([1.0], title=hostile),
        svg.category_bars([0.5, 0.5], marker=1, title=hostile),
    )
    for picture in pictures:
        root = parsed(picture)
        assert root.attrib["role"] == "img" and root.find(f"{NAMES}title").text == hostile  # type: ignore[union-attr]
        assert not list(root.iter(f"{NAMES}script")) and "<script" not in str(picture)


def test_a_notebook_draws_it() -> None:
    assert svg.sparkline([1.0, 2.0], title="t")._repr_svg_().startswith("<svg")
