"""Every cell of every table, against effects that were chosen beforehand."""

import json
import math
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from synthetic_study import ARMS, write_study

from salt_bench import results
from salt_bench.report import cells, differences, guard, page, tables
from salt_bench.report.cells import Cell, Table
from salt_bench.report.latex import escape, latex
from salt_bench.report.source import Source
from salt_bench.types import Score

REPORTS = Path(__file__).parents[2] / "reports"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return Source.read(write_study(tmp_path_factory.mktemp("study")))


def _column(table: Table | None, start: str) -> dict[str, Cell]:
    """Arm → cell of the first column that begins so; where an arm has several rows, its first."""
    assert table is not None
    at = next(i for i, c in enumerate(table.columns) if c.startswith(start))
    return {row[0].text: row[at] for row in reversed(table.rows)}


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((0.8123, 0.7910, 0.8336), "0.812 ±0.021"),
        ((-0.0280, -0.0284, -0.0276), "−0.0280 ±0.0004"),
        ((12.0, -8.0, 32.0), "12 ±20"),
        ((0.5, 0.3, 0.9), "0.50 [0.30, 0.90]"),
        ((0.5, -math.inf, math.inf), "0.500"),
        ((0.95, 0.95, 0.95), "0.950 ±0.000"),
        ((math.nan, 0.0, 0.0), "–"),
        ((-0.0001, -0.1, 0.0998), "0.00 ±0.10"),
    ],
)
def test_a_number_shows_two_digits_of_its_interval(numbers: tuple[float, float, float], text: str) -> None:
    assert cells.number(*numbers) == text


def test_a_difference_carries_its_sign() -> None:
    assert cells.number(0.5, 0.4, 0.6, sign=True) == "+0.50 ±0.10"


def test_main_has_the_anchors_on_top_and_one_row_per_arm_and_setting(source: Source) -> None:
    table = tables.main(source)
    assert [row[0].text for row in table.rows[: table.anchors]] == ["truth", "teacher"]
    rest = [(row[0].text, row[1].text) for row in table.rows[table.anchors :]]
    assert rest == [(arm, setting) for setting in ("4 steps", "2 steps") for arm in ARMS]
    assert "n = 3 × 20" in table.caption


def test_the_collapsed_arm_is_flagged_and_wins_nothing(source: Source) -> None:
    table = tables.main(source)
    assert {arm: c.mark for arm, c in _column(table, "Flag").items() if c.mark} == {"SC λ=10": "flag"}
    defect = _column(table, "Semigroup defect")
    assert float(defect["SC λ=10"].sort) < float(defect["SC λ=1"].sort)
    assert (defect["SC λ=1"].mark, defect["SC λ=10"].mark, defect["DMD-8"].mark) == ("best", "", "")


def test_a_low_defect_with_quality_intact_is_no_collapse_and_a_high_one_is_none_either(tmp_path: Path) -> None:
    arms = {
        "DMD-8": ARMS["DMD-8"],
        "sharp": replace(ARMS["SC λ=10"], accuracy=0.83, sharpness=0.9),
        "blurred": replace(ARMS["SC λ=1"], sharpness=0.6),
        "bad": replace(ARMS["SC λ=10"], defect=0.2),
    }
    source = Source.read(write_study(tmp_path / "s", arms=arms, claim=False))
    assert [m.judge for m in source.fallen("blurred", "4 steps")] == ["sharpness"]
    assert source.fallen("sharp", "4 steps") == source.fallen("bad", "4 steps") == source.fallen("DMD-8", "4 steps") == ()


def test_marks_follow_the_direction_of_the_judge(source: Source) -> None:
    distance = _column(tables.main(source), "Fréchet")
    assert (distance["SC λ=1"].mark, distance["DMD-8"].mark, distance["SC λ=10"].mark) == ("best", "", "")
    assert distance["truth"].mark == ""
    accuracy = _column(tables.main(source), "Accuracy")
    assert accuracy["SC λ=10"].mark == ""
    assert {accuracy[a].mark for a in ("DMD-8", "SC λ=0.3", "SC λ=1")} == {"best", "tied"}


def _spoilt(score: Score, validation: frozenset[str]) -> Score:
    """With nonsense wherever it speaks of validation prompts."""
    hit = score.prompt in validation
    return replace(score, values={p: 9.0 if hit or p.endswith("@validation") else v for p, v in score.values.items()})


def test_validation_prompts_are_in_no_number(source: Source, tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s")
    path = folder / "scores.jsonl"
    results.write(path, [_spoilt(score, source.validation) for score in results.read(path)])
    other = Source.read(folder)
    for make in (tables.main, differences.effects, tables.defect, tables.cross_step, tables.attributes, tables.others):
        assert make(other) == make(source)


def test_effects_name_direction_margin_and_n(source: Source) -> None:
    rows = {(row[0].text, row[1].text): row for row in differences.effects(source).rows}
    assert len(rows) == 25
    better = rows["Semigroup defect ↓", "SC λ=1"]
    assert [c.text for c in better] == [
        "Semigroup defect ↓", "SC λ=1", "−0.0280 ±0.0004", "1.00 [0.44, 1.00]", "< 0.001", "better", "0.005", "0.00061",
        "3 × 20",
    ]  # fmt: skip
    assert rows["Accuracy ↑", "SC λ=10"][5].text == "worse"
    assert rows["Fréchet distance ↓", "SC λ=10"][5].text == "worse"
    assert rows["Fréchet distance ↓", "SC λ=10"][8].text == "3 sets"
    assert rows["Sharpness ↑", "SC λ=1"][5].text == "equivalent"
    assert rows["Sharpness ↑", "SC λ=1"][6].text == "0.045 (5%)"
    assert (rows["Semigroup defect ↓", "SC λ=10"][5].text, rows["Semigroup defect ↓", "SC λ=10"][5].mark) == (
        "better, no success",
        "bad",
    )


def moved(folder: Path, arm: str, share: float) -> Source:
    """The study in `folder`, where dynamic degree has a margin and `arm` moves in a `share` of its clips only."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["outputs"]["dynamic_degree"]["dynamic_degree"] |= {"better": 1, "margin": 0.05}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    path = folder / "scores.jsonl"
    results.write(path, [_stilled(s, share) if s.arm == arm and s.judge == "dynamic_degree" else s for s in results.read(path)])
    return Source.read(folder)


def _stilled(score: Score, share: float) -> Score:
    still = sum(map(ord, score.prompt or "")) % 100 >= 100 * share
    return replace(score, values={part: 0.0 if still else value for part, value in score.values.items()})


def test_a_gain_beside_lost_motion_is_flagged(tmp_path: Path) -> None:
    source = moved(write_study(tmp_path / "s", claim=False), "SC λ=1", 0.0)
    assert [m.judge for m in guard.shadowed(source, "SC λ=1", "4 steps")] == ["dynamic_degree"]
    table = tables.main(source)
    assert _column(table, "Flag")["SC λ=1"].text == "⚠ lost motion"
    assert _column(table, "Flag")["SC λ=0.3"].text == ""
    assert "Lost motion" in table.caption
    rows = {(row[0].text, row[1].text): row[5] for row in differences.effects(source).rows}
    gain = rows["Semigroup defect ↓", "SC λ=1"]
    assert (gain.text, gain.mark) == ("better, less motion", "bad")
    assert any("SC λ=1 at 4 steps: lost motion" in line for line in page.flagged(source))


def test_motion_that_is_kept_or_lost_without_a_gain_is_no_flag(tmp_path: Path) -> None:
    kept = moved(write_study(tmp_path / "kept", claim=False), "SC λ=1", 1.0)
    assert guard.stilled(kept, "SC λ=1", "4 steps") == ()
    poor = replace(ARMS["DMD-8"], accuracy=0.7, sharpness=0.7, frechet=3.9, defect=0.2, cross=0.4)
    arms = {"DMD-8": ARMS["DMD-8"], "poor": poor}
    lost = moved(write_study(tmp_path / "lost", arms=arms, claim=False), "poor", 0.0)
    assert [m.judge for m in guard.stilled(lost, "poor", "4 steps")] == ["dynamic_degree"]
    assert guard.shadowed(lost, "poor", "4 steps") == ()
    assert "Lost motion" not in tables.main(lost).caption


def test_equivalent_is_said_where_the_interval_lies_inside_the_margin_on_both_sides(source: Source) -> None:
    for row in differences.effects(source).rows:
        verdict, margin = row[5].text, row[6].sort
        low, high = _interval(source, row)
        if verdict == "equivalent":
            assert -float(margin) < low < high < float(margin)
        if verdict == "not decided" and margin != "":
            assert max(-low, high) > float(margin) * 0.9  # a relative margin is held on the log scale
    assert "equivalent" in [row[5].text for row in differences.effects(source).rows]


def _interval(source: Source, row: tuple[Cell, ...]) -> tuple[float, float]:
    metric = next(m for m in source.main if m.title == row[0].text[:-2])
    effect = source.effect(row[1].text, source.setting, metric)
    assert effect is not None
    return effect.low, effect.high


def test_the_defect_table_sets_our_ratio_beside_the_published_one(source: Source) -> None:
    table = tables.defect(source)
    assert table is not None
    assert table.columns[1:5] == ("1000 → 750 ↓", "750 → 500 ↓", "500 → 250 ↓", "250 → 0 ↓")
    ratio = _column(table, "Ratio")
    assert (ratio["DMD-8"].text, ratio["SC λ=1"].text) == ("1.00", "0.80")
    assert "0.0111 / 0.0135 = 0.82" in table.caption


def test_the_cross_step_matrix_is_read_in_order(source: Source) -> None:
    table = tables.cross_step(source)
    assert table is not None
    assert [c.split(" ↓")[0] for c in table.columns[1:7]] == ["2 ↔ 4", "2 ↔ 8", "2 ↔ 16", "4 ↔ 8", "4 ↔ 16", "8 ↔ 16"]
    two_sixteen, two_four = _column(table, "2 ↔ 16")["DMD-8"].sort, _column(table, "2 ↔ 4")["DMD-8"].sort
    assert float(two_sixteen) / float(two_four) == pytest.approx(1.4 / 0.9)


def test_published_numbers_stand_alone_with_source_and_trust(source: Source) -> None:
    table = tables.published_table(source)
    assert table is not None
    assert {row[0].text for row in table.rows} == {"A1", "A3"}
    assert all(row[2].text and row[3].text for row in table.rows)
    assert "not comparable in absolute value" in table.caption
    assert (
        _column(replace(table, rows=tuple(row[1:] for row in table.rows[-2:]), columns=table.columns[1:]), "Defect")[
            "SC-DMD"
        ].text
        == "0.0111"
    )


def test_what_could_not_be_judged_is_listed_with_its_reason(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", test_prompts=4)
    path = folder / "scores.jsonl"
    bad = Score("DMD-4", "4 steps", 0, "blue-circle-left", 0, "diversity", {"spread": None}, note="the clip is empty")
    results.write(path, [*results.read(path), bad])
    table = tables.missing(Source.read(folder))
    assert table is not None
    assert [c.text for c in table.rows[0]] == ["DMD-4", "4 steps", "diversity", "the clip is empty", "1"]


def test_arms_start_with_the_baseline_and_numbers_rise(source: Source, tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", test_prompts=4)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["study"]["arms"] = {a: {} for a in sorted((*ARMS, "SC λ=3"))}
    (folder / "manifest.json").write_text(json.dumps(manifest, sort_keys=True))
    expected = ("DMD-8", "DMD-4", "SC λ=0.1", "SC λ=0.3", "SC λ=1", "SC λ=3", "SC λ=10")
    assert Source.read(folder).arms == expected
    assert [(f.title, list(f.arms)) for f in source.families] == [("SC λ", [0.1, 0.3, 1.0, 10.0])]


def test_markdown_is_padded_and_escapes_what_github_would_read() -> None:
    table = Table("t", "T", "", ("Arm", "n"), ((Cell("a|b*"), Cell("1", 1, "best")), (Cell("<i>"), Cell("22", 2, "tied"))))
    assert cells.markdown(table).splitlines() == [
        "| Arm    |     n |",
        "| ------ | ----: |",
        "| a\\|b\\* | **1** |",
        "| &lt;i> |  22 ≈ |",
    ]


def test_latex_escapes_and_marks(source: Source) -> None:
    assert escape("SC λ=0.3 & 5% of x_1 ±2 ≈ Δ") == r"SC $\lambda$=0.3 \& 5\% of x\_1 $\pm$2 $\approx$ $\Delta$"
    text = latex(tables.main(source))
    assert r"SC $\lambda$=1 & 4 steps" in text
    assert text.count(r"\midrule") == 2
    assert text.isascii() or not set(text) & set("λ±≈−↑↓⚠→")


def test_latex_stacks_headers_and_leaves_out_what_says_nothing() -> None:
    rows = ((Cell("a"), Cell("1 ±2", 1), Cell("")), (Cell("b"), Cell("3", 3), Cell("")))
    text = latex(Table("t", "T", "", ("Arm", "latent distance, mean ↓ (n 3 × 96)", "Flag"), rows))
    stacked = r"latent \\ distance, \\ mean~$\downarrow$ \\ (n~3~$\times$~96)"
    assert rf"Arm & \begin{{tabular}}[b]{{@{{}}r@{{}}}}{stacked}\end{{tabular}} \\" in text
    assert r"\begin{tabular}{lr}" in text
    assert "Flag" not in text


def _wide(tabular: str, folder: Path) -> list[str]:
    """What TeX complains of, of a table in an article; an error of TeX is an error here."""
    head = "\\documentclass{article}\\usepackage{booktabs,graphicx}\\begin{document}\n"
    (folder / "t.tex").write_text(head + tabular + "\\end{document}\n", encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    said = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, errors="replace")
    assert said.returncode == 0, said.stdout
    return [line for line in said.stdout.splitlines() if line.startswith("Overfull")]


needs_tex = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex: Debian's texlive-latex-base has it")


@needs_tex
def test_latex_compiles_in_an_article_and_fits_its_lines(source: Source, tmp_path: Path) -> None:
    assert _wide(latex(tables.main(source)), tmp_path) == []


@needs_tex
@pytest.mark.parametrize("file", sorted(REPORTS.glob("*/table.tex")), ids=lambda file: file.parent.name)
def test_the_table_of_every_report_compiles_and_fits_its_lines(file: Path, tmp_path: Path) -> None:
    assert _wide(file.read_text(encoding="utf-8"), tmp_path) == []
