"""The report is a pure function of the table, and says what we built into the table, in the same size for yes and for no."""

import hashlib
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from synthetic_study import ARMS, write_study

from salt_bench import results
from salt_bench.errors import WrongUse
from salt_bench.report import differences, page
from salt_bench.report.source import Source
from salt_bench.types import Expectation

ROOT = Path(page.__file__).parents[2]
FLIPPED = {a: replace(t, defect=0.26 - t.defect) if a.startswith("SC") else t for a, t in ARMS.items() if a != "SC λ=10"}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_study(tmp_path_factory.mktemp("study"))
    page.render(folder)
    return folder


def _digest(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_rendering_again_changes_no_byte(study: Path) -> None:
    before = _digest(study)
    page.render(study)
    assert _digest(study) == before


@pytest.mark.parametrize("seed", ["1", "4242"])
def test_another_process_with_another_hash_seed_writes_the_same_bytes(study: Path, tmp_path: Path, seed: str) -> None:
    other = write_study(tmp_path / "elsewhere")
    code = f"from pathlib import Path; from salt_bench.report.page import render; render(Path({str(other)!r}))"
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT), "MPLBACKEND": "svg", "TZ": "Asia/Tokyo"}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env=environment)
    assert _digest(other) == _digest(study)


def test_neither_torch_nor_matplotlib_is_imported_for_the_import_and_torch_never(study: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from salt_bench.report.page import render; early = set(sys.modules); "
        f"render(Path({str(study)!r})); print([m in early for m in ('torch', 'matplotlib', 'jinja2')], 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "[False, False, False] False"


def test_it_returns_what_it_wrote_and_leaves_no_halves_and_no_stale_figure(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", settings={"4 steps": [1.0, 0.9, 0.75, 0.5]})
    (folder / "figures").mkdir()
    (folder / "figures" / "old.svg").write_text("<svg/>")
    given = {p.name for p in folder.rglob("*") if p.is_file()} - {"old.svg"}
    written = page.render(folder)
    assert {p.name for p in folder.rglob("*") if p.is_file()} - given == {p.name for p in written}
    assert {"report.md", "index.html", "table.tex", "effects.svg", "sweep-1.svg"} <= {p.name for p in written}
    assert "steps.svg" not in {p.name for p in written}


def test_a_true_claim_holds_and_every_condition_is_shown(study: Path) -> None:
    verdict = page.verdict(Source.read(study))
    assert (verdict.label, verdict.tone) == ("The claim holds", "good")
    assert [p.outcome for p in verdict.points] == ["lower", "lower", "no worse", "no worse", "no worse"]
    assert verdict.points[0].found.startswith("−0.0280")
    assert verdict.points[4].found.startswith("+0.8%")
    text = (study / "report.md").read_text()
    assert text.index("## The claim holds") < text.index("## Results")


def test_the_flipped_claim_is_contradicted_and_printed_as_large(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", arms=FLIPPED)
    page.render(folder)
    verdict = page.verdict(Source.read(folder))
    assert (verdict.label, verdict.tone) == ("The claim is contradicted", "bad")
    assert (verdict.points[0].outcome, verdict.points[0].tone) == ("higher", "bad")
    assert "## The claim is contradicted\n" in (folder / "report.md").read_text()
    assert '<section class="verdict bad">\n<h2>The claim is contradicted</h2>' in (folder / "index.html").read_text()


def test_an_open_claim_is_neither_shown_nor_contradicted(tmp_path: Path) -> None:
    same = {a: replace(t, defect=0.130, cross=0.215) for a, t in ARMS.items() if a != "SC λ=10"}
    verdict = page.verdict(Source.read(write_study(tmp_path / "s", arms=same)))
    assert (verdict.label, verdict.tone) == ("The claim is not shown", "open")
    assert verdict.points[0].outcome == "not shown to be lower"


def test_without_a_claim_every_arm_gets_one_sentence(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", claim=False)
    lines = page.verdict(Source.read(folder)).lines
    assert [line.split(":")[0] for line in lines] == [a for a in ARMS if a != "DMD-8"]
    assert re.search(r"Semigroup defect −0\.0280 ±0\.0004 \(better\)", lines[3])
    assert "(better, no success)" in lines[4]


def test_the_machine_stays_in_the_manifest_and_no_year_is_printed(study: Path) -> None:
    for name in ("report.md", "index.html", "table.tex"):
        text = (study / name).read_text()
        assert "secret-machine" not in text
        assert not re.search(r"\b202\d-\d\d", text)


def test_the_page_needs_no_network_and_escapes_what_it_prints(study: Path) -> None:
    html = (study / "index.html").read_text()
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", html.replace("xlink:href", "href"))
    assert "moves up &lt;on&gt; sand" in html
    assert "<on>" not in html
    assert html.count('<div class="clip"><img src="data:image/png;base64,') == 8 * 4
    ids = re.findall(r' id="([^"]+)"', html)
    assert len(ids) == len(set(ids))


def test_every_figure_is_well_formed_and_dateless(study: Path) -> None:
    for file in (study / "figures").glob("*.svg"):
        ElementTree.fromstring(file.read_bytes())
        assert "dc:date" not in file.read_text()


def test_report_md_stays_short_for_a_big_study(tmp_path: Path) -> None:
    arms = {**ARMS, **{f"SC λ={x}": ARMS["SC λ=1"] for x in (0.5, 2, 3, 5, 20, 30)}}
    settings = {f"{k} steps": [1 - i / k for i in range(k)] for k in (2, 4, 8, 16)}
    folder = write_study(tmp_path / "s", arms=arms, settings=settings, test_prompts=4)
    page.render(folder)
    assert len((folder / "report.md").read_text().splitlines()) < 250


def test_a_smoke_run_says_so(study: Path, tmp_path: Path) -> None:
    page.render(write_study(tmp_path / "s", scale="smoke", test_prompts=4))
    for name in ("report.md", "index.html"):
        assert "Smoke scale." in (tmp_path / "s" / name).read_text()
        assert "Smoke scale." not in (study / name).read_text()


def test_methods_and_footer_come_from_the_manifest(study: Path) -> None:
    text = (study / "report.md").read_text()
    assert "20 test prompts (6 more, tagged validation" in text
    assert "training seeds 0, 1, 2" in text
    assert "Fingerprint 0123456789ab · commit 537f684 · scale default · 18 cells trained, 2 reused, 20 judged" in text
    assert "Embedded world Shapes, not VBench" in text


def test_what_is_not_a_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match=r"no table .*scores\.jsonl: give the folder of a finished study"):
        page.render(tmp_path)
    folder = write_study(tmp_path / "s", test_prompts=4)
    results.write(folder / "scores.jsonl", [])
    with pytest.raises(ValueError, match="is empty"):
        page.render(folder)
    (write_study(folder, test_prompts=4) / "manifest.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"holds no manifest\.json; give the folder of a finished study"):
        page.render(folder)


def test_one_training_seed_one_setting_and_no_clips_still_make_a_page(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", train_seeds=(0,), settings={"4 steps": [1.0, 0.5]}, claim=False)
    (folder / "clips" / "index.json").unlink()
    page.render(folder)
    assert "1 × 20" in (folder / "report.md").read_text()
    assert "contact-sheet" not in (folder / "report.md").read_text()


def test_an_undecidable_claim_says_why(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", test_prompts=4)
    manifest = json.loads((folder / "manifest.json").read_text())
    for prompt in manifest["study"]["prompts"]:
        prompt["tags"] = []
    (folder / "manifest.json").write_text(json.dumps(manifest))
    verdict = page.verdict(Source.read(folder))
    assert verdict.label == "The claim cannot be decided"
    assert "validation prompts" in verdict.sentence


EXPECTED = (
    Expectation("SC λ=1", "DMD-8", "4 steps", "semigroup_defect", "defect", -1, "it agrees with itself (them, table 1)"),
    Expectation("SC λ=1", "SC λ=0.1", "4 steps", "semigroup_defect", "defect", +1, "less is more (others, table 2)"),
    Expectation("SC λ=0.1", "DMD-8", "4 steps", "shapes", "accuracy", +1, "it is right more often (them, table 3)"),
)


def test_what_others_say_is_confirmed_contradicted_or_left_open(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", claim=False, expectations=EXPECTED)
    page.render(folder)
    source = Source.read(folder)
    verdict = page.verdict(source)
    assert verdict.label == "Against what others say: 1 confirmed, 1 contradicted, 1 not decided"
    assert (verdict.tone, [p.tone for p in verdict.points]) == ("bad", ["good", "bad", "open"])
    assert verdict.points[0].found.startswith("−0.0280")
    table = differences.expectations(source)
    assert table is not None
    assert [row[-1].text for row in table.rows] == ["agrees", "contradicts", "not decided"]
    assert [row[0].text for row in table.rows] == [x.says for x in EXPECTED]
    assert all(float(row[4].text) > 0 for row in table.rows)
    assert "✗ Semigroup defect of SC λ=1 against SC λ=0.1 at 4 steps is to be higher" in (folder / "report.md").read_text()
    flipped = write_study(tmp_path / "f", claim=False, expectations=[replace(x, sign=-x.sign) for x in EXPECTED])
    assert [a.word for a in differences.agreements(Source.read(flipped))] == ["contradicts", "agrees", "not decided"]


def test_the_embedded_world_is_named_whatever_judges_it(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s")
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["outputs"]["shapes"]
    source = replace(Source.read(folder), manifest=manifest)
    assert source.world == ""
    manifest["study"]["prompts"][0]["id"] = "shapes:1-red-square-up-fog"
    assert source.world == "Embedded world Shapes, not VBench. "
