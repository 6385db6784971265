"""The paper's tables: what is published stands beside what was measured, and neither is taken for the other."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from synthetic_study import ARMS, write_study

from salt_bench.errors import WrongUse
from salt_bench.report import paper, plain, published
from salt_bench.report.cells import Cell, Table

SHAPES = "Measured here (Shapes, not VBench)"


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one study, "grid", whose arms are DMD-8 and DMD-4."""
    folder = tmp_path_factory.mktemp("reports")
    write_study(folder / "grid", arms={name: ARMS[name] for name in ("DMD-8", "DMD-4")}, claim=False)
    return folder


def rows(table: Table) -> dict[tuple[str, str, str], dict[str, Cell]]:
    """(model, metric, NFE) → column → cell."""
    found = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    return {(row["Model"].text, row["Metric"].text, row["NFE"].text): row for row in found}


def only(name: str, reports: Path) -> dict[tuple[str, str, str], dict[str, Cell]]:
    (table,) = paper.page([name], reports).tables
    return rows(table)


def test_every_published_number_stands_in_its_table_and_empty_cells_say_so(tmp_path: Path) -> None:
    facts = published.load()
    page = paper.page([], tmp_path)
    assert [table.title[:2] for table in page.tables] == ["T1", "T2", "T3", "A1", "A2", "A3", "A4", "A5"]
    for table in page.tables:
        said = rows(table)
        for fact in facts[facts["table"] == table.title[:2]].itertuples():
            row = said[fact.model, fact.metric.replace("_", " "), str(fact.nfe)]
            value = f"{fact.value:.4f}" if fact.metric == "defect" else f"{fact.value:.2f}"
            assert value in row["Re-evaluated" if fact.trust == "third party" else "Published"].text
        assert {row[SHAPES].text for row in said.values()} == {"not measured here"}


def test_re_evaluations_name_their_source_and_are_not_called_published(tmp_path: Path) -> None:
    row = only("T2", tmp_path)["Salt + Causal Forcing", "total", "4"]
    assert (row["Published"].text, row["Source"].text) == ("85.08", "Salt README, authors")
    assert row["Re-evaluated"].text == "84.34 (independent re-evaluation (Radian))"


def test_what_was_measured_is_called_shapes(reports: Path) -> None:
    said = only("A1", reports)
    accuracy = said["DMD-8", "Shapes: Accuracy", "4"]
    assert accuracy[SHAPES].text.startswith("Shapes 0.8")
    assert accuracy["Published"].text == "–"
    assert "grid: DMD-8, 4 steps; n = 3 × 20" in accuracy[SHAPES].hint
    assert said["DMD-8", "spatial relationship", "4"][SHAPES].text == "not measured here", "no clip has two objects"
    assert said["DMD-8", "total", "4"][SHAPES].text == "not measured here", "Total lacks dimensions, and is no sum without them"
    assert said["SC-DMD", "total", "4"][SHAPES].text == "not measured here"


def test_measured_numbers_are_those_of_the_study(reports: Path) -> None:
    measured = paper.Measured(reports)
    source = measured.source("grid")
    assert source is not None
    found = measured.summary(paper.Place("grid", "DMD-4"), "semigroup_defect", "defect")
    assert found == source.summary("DMD-4", "4 steps", source.metric("semigroup_defect", "defect"))
    assert measured.summary(paper.Place("grid", "DMD-4", "16 steps"), "shapes", "accuracy") is None
    assert measured.summary(paper.Place("absent", "DMD-4"), "shapes", "accuracy") is None
    assert only("A3", reports)["DMD", "Shapes: 1000-750 ratio", "4"][SHAPES].text.startswith("Shapes 0.")


def test_a_total_that_its_parts_do_not_give_is_flagged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = published.load()
    assert only("T2", tmp_path)["rCM", "total", "4"]["Published"].mark == ""
    wrong = table.assign(value=table["value"].mask((table["model"] == "rCM") & (table["metric"] == "total"), 83.0))
    monkeypatch.setattr(published, "load", lambda: wrong)
    cell = only("T2", tmp_path)["rCM", "total", "4"]["Published"]
    assert (cell.text, cell.mark) == ("83.00 ⚠ its parts give 82.73", "bad")
    assert "T2 rCM, 4 evaluations (Salt README): total 83.00" in paper.page(["T2"], tmp_path).points[0]


def test_every_place_is_an_arm_of_its_study() -> None:
    """Where that study is published."""
    folder = Path(__file__).parents[2] / "reports"
    for (table, model, nfe), place in paper.PLACES.items():
        study = json.loads((folder / place.study / "manifest.json").read_text())["study"]
        assert place.arm in study["arms"], (table, model)
        assert len(study["settings"][place.setting]) == nfe
    published_models = {(t, m, int(n)) for t, m, n in pd.DataFrame(published.load())[["table", "model", "nfe"]].to_numpy()}
    assert {key for key in paper.PLACES if key[0] in ("A1", "A3")} - published_models == {("A1", "DMD-16", 4)}


def test_the_same_page_twice_and_an_unknown_table(tmp_path: Path) -> None:
    page = paper.page(["A2"], tmp_path)
    first = [path.read_bytes() for path in plain.write(tmp_path / "one", page)]
    assert first == [path.read_bytes() for path in plain.write(tmp_path / "two", page)]
    assert b"not VBench" in first[0]
    assert b"<h2>A2: Autoregressive components</h2>" in first[1]
    with pytest.raises(WrongUse, match="got 'B1'"):
        paper.page(["B1"], tmp_path)
