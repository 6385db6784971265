"""The published numbers are the public record's, each with a source and a trust."""

from pathlib import Path

import pytest

from salt_bench.report import published


def test_a1_and_a3_hold_the_papers_numbers() -> None:
    table = published.load().set_index(["table", "model", "metric"])["value"]
    assert table["A1", "DMD-8", "quality"] == 84.05
    assert table["A1", "DMD-8", "total"] == 82.54
    assert table["A1", "DMD-4", "total"] == 82.78
    assert table["A1", "SC-DMD", "total"] == 83.36
    assert table["A1", "DMD + SCFM (naive)", "total"] == 75.06
    assert table["A3", "DMD", "defect"] == 0.0135
    assert table["A3", "SC-DMD", "defect"] == 0.0111


def test_the_ratio_is_below_one_because_self_consistency_lowers_the_defect() -> None:
    treated, plain = published.defect_ratio()
    assert (treated, plain) == (0.0111, 0.0135)
    assert round(treated / plain, 2) == 0.82


def test_every_fact_has_a_source_and_a_trust() -> None:
    table = published.load()
    assert len(table) > 100
    assert set(table["trust"]) <= set(published.TRUST)
    assert (table["source"] != "").all()


def test_select_keeps_only_the_asked_tables_and_names_an_unknown_one() -> None:
    assert set(published.select(["A1", "A3"])["table"]) == {"A1", "A3"}
    with pytest.raises(ValueError, match="no published table 'A9'; there are A1"):
        published.select(["A1", "A9"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("A1,vbench,M,4,total,high,paper,authors,", "value is a number, got 'high'"),
        ("A1,vbench,M,4,total,1.0,paper,rumour,", "trust is one of authors"),
        ("A1,vbench,M,4,total,1.0,,authors,", "source is never empty"),
        ("A1,vbench,M,4,total,1.0,paper,authors,\nA1,vbench,M,4,total,2.0,paper,authors,", "line 3: the same fact"),
    ],
)
def test_a_bad_line_is_refused_with_its_number(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "scores.csv"
    file.write_text(",".join(published.COLUMNS) + "\n" + line + "\n")
    with pytest.raises(ValueError, match=message):
        published.load(file)


def test_every_published_total_is_made_of_its_quality_and_semantic() -> None:
    """Twenty-four can be checked; none is flagged."""
    table = published.load()
    assert len(published.totals(table)) == 24
    assert [str(one) for one in published.contradictions(table)] == []


def test_a_total_that_its_parts_do_not_give_is_flagged() -> None:
    table = published.load()
    rcm = (table["model"] == "rCM") & (table["metric"] == "total")
    fits = table.assign(value=table["value"].mask(rcm, 82.72))
    assert published.contradictions(fits) == [], "82.728 may be 82.72 when its parts are rounded too"
    wrong = table.assign(value=table["value"].mask(rcm, 82.75))
    assert [str(one) for one in published.contradictions(wrong)] == [
        "T2 rCM, 4 evaluations (Salt README): total 82.75, of its parts 82.73 (+0.02)"
    ]


def test_a_published_gain_beside_lost_motion_is_found() -> None:
    table = published.load()
    assert list(map(str, published.stilled(table))) == [
        "T1 Salt (SC-DMD): quality 80.86 over DMD's 78.89, with dynamic degree 52.85 under its 58.46"
    ]
    assert published.stilled(table, margin=6.0) == []
    assert published.stilled(table[table["table"] == "T2"]) == []


def test_totals_of_another_benchmark_are_not_vbenchs() -> None:
    table = published.load()
    assert {one.table for one in published.totals(table)} == {"A1", "A2", "T2", "T3"}
