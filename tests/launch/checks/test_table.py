"""The one table of many machines."""

import json

from launch.checks.finding import Finding
from launch.checks.table import Row, drawn, rows_of, verdict, worst

WELL, ALSO_WELL = Finding("ok", "100 GB free"), Finding("ok", "90 GB free")
FULL = Finding("error", "full", "--out DIR")
HOSTS = ("a", "b", "c")


def test_machines_that_are_well_share_a_row() -> None:
    assert rows_of("disk", zip(HOSTS, (WELL, ALSO_WELL, WELL), strict=True)) == [Row("disk", WELL)]


def test_what_differs_is_named_once_and_first() -> None:
    rows = rows_of("disk", zip(HOSTS, (WELL, FULL, FULL), strict=True))
    assert rows == [Row("disk", FULL, ("b", "c")), Row("disk", WELL, ("a",))]
    assert rows_of("disk", [(host, FULL) for host in ("a", "a", "b")]) == [Row("disk", FULL)]
    assert str(rows[0]).splitlines() == [
        "disk       error    on b, c: full",
        "                    type: --out DIR",
    ]


def test_many_machines_are_counted() -> None:
    found = [(f"node{i}", FULL if i else WELL) for i in range(9)]
    assert "on node1, node2, node3, node4, node5, ... (8 in all): full" in str(rows_of("disk", found)[0])


def test_the_worst_decides() -> None:
    warning = Row("x", Finding("warning", "hm"))
    assert worst([]) == worst([Row("x", WELL)]) == "ok" and verdict([Row("x", WELL)]) == "all is well"
    assert worst([warning, Row("x", WELL)]) == "warning" and verdict([warning, warning]) == "2 warnings"
    assert worst([warning, Row("y", FULL)]) == "error"
    assert verdict([warning, Row("y", FULL)]).startswith("1 error, 1 warning; ")


def test_names_that_are_no_text_are_shown_and_json_parses() -> None:
    row = Row("data set", Finding("error", "no folder \udcff"))
    text = drawn([row], {}, seconds=1.0, as_json=False)
    assert text.encode() and "no folder \\xff" in text
    content = json.loads(drawn([row], {}, seconds=1.0, as_json=True))
    assert content["verdict"] == "error" and content["rows"][0]["check"] == "data set"
