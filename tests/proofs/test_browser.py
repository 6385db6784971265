"""Every page in a real browser: no complaint, everything works by mouse and keyboard, light and dark, on a desk and on a phone.

Pictures of what was seen go to SALT_SCREENSHOTS, if that names a folder.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chromium
import pytest
from chromium import DESKTOP, PHONE, Page

from salt_bench.report import page as study_page

ROOT = Path(__file__).parents[2]
PAGES = sorted(ROOT.glob("reports/*/index.html"))
STUDIES = [file for file in PAGES if (file.parent / "scores.jsonl").is_file()]
ARMS, JUDGES, PROMPTS = 20, 30, 500

pytestmark = pytest.mark.skipif(chromium.PATH is None, reason="no Chromium on the PATH")


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium.browser(tmp_path_factory.mktemp("browser")) as tab:
        yield tab


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(os.environ.get("SALT_SCREENSHOTS") or tmp_path_factory.mktemp("pictures"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.parent.name)
@pytest.mark.parametrize("screen", [DESKTOP, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_page_fits_its_screen_and_never_complains(tab: Page, pictures: Path, file: Path, screen: Any, dark: bool) -> None:
    tab.complaints.clear()
    tab.open(file, screen, dark)
    assert tab.complaints == []
    assert tab.run("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"
    paper = [int(part) for part in tab.run("getComputedStyle(document.body).backgroundColor").strip("rgb()").split(",")]
    assert (sum(paper) < 3 * 128) == dark
    assert tab.run("[...document.querySelectorAll('img, svg')].every(one => one.getBoundingClientRect().width > 0)")
    assert tab.run("performance.getEntriesByType('resource').every(one => one.name.startsWith('file:'))"), "it went elsewhere"
    tab.picture(pictures / f"{file.parent.name}-{screen['width']}-{'dark' if dark else 'light'}.png")


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.parent.name)
def test_a_click_sorts_a_table_and_another_turns_it(tab: Page, file: Path) -> None:
    tab.open(file)
    tab.run("""
        var table = document.getElementById("table-main");
        var rows = () => [...table.tBodies[table.tBodies.length - 1].rows];
        var numbers = at => rows().map(row => row.cells[at].dataset.sort).filter(value => value !== "").map(Number);
        var columns = [...table.tHead.rows[0].cells].map(one => one.cellIndex);
        var at = columns.find(at => at > 0 && numbers(at).length > 1 && !numbers(at).some(isNaN));
        var button = table.tHead.rows[0].cells[at].querySelector("button");
    """)
    for turned in (False, True):
        tab.run("button.click()")
        found = tab.run("numbers(at)")
        assert found == sorted(found, reverse=turned)
    assert tab.run("button.parentElement.getAttribute('aria-sort')") == "descending"


def test_clips_play_and_the_space_bar_stops_them(tab: Page) -> None:
    tab.open(ROOT / "reports/sc_weight/index.html")
    frame = "document.getElementById('clips').style.getPropertyValue('--frame')"
    assert tab.run("document.getElementById('play').textContent") == "Pause", "they play by themselves"
    seen = {tab.run(frame) for _ in range(20) if time.sleep(0.05) is None}
    assert len(seen) > 3
    tab.press(" ")
    assert tab.run("document.getElementById('play').textContent") == "Play"
    stopped = tab.run(frame)
    time.sleep(0.5)
    assert tab.run(frame) == stopped
    tab.run("document.getElementById('play').focus()")
    tab.press("Enter")


def test_every_control_can_be_reached_by_keyboard(tab: Page) -> None:
    tab.open(ROOT / "reports/sc_weight/index.html")
    assert tab.run("[...document.querySelectorAll('button, input, summary, .scroll, figure')].every(one => one.tabIndex >= 0)")


def test_a_large_report_opens_quickly_and_stays_small(tab: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sys.path.insert(0, str(ROOT / "tests/report"))
    import synthetic_study as synthetic

    usual, outputs = synthetic._judged, dict(synthetic._OUTPUTS)
    more = [f"judge_{number:02}" for number in range(JUDGES - len(outputs))]

    def judged(arm: str, truth: Any, seed: int, prompt: str, *others: Any) -> dict[str, Any]:
        extra = {name: {"score": hash((arm, prompt, name)) % 1000 / 1000} for name in more}
        return usual(arm, truth, seed, prompt, *others) | extra

    def prompts(count: int) -> list[dict[str, Any]]:
        tagged = [["one", "validation"] if number < 6 else ["one"] for number in range(count + 6)]
        return [{"id": f"p{n}", "text": f"a red square, number {n}", "tags": tags} for n, tags in enumerate(tagged)]

    monkeypatch.setattr(synthetic, "_OUTPUTS", outputs | {name: {"score": ("share", 1, 0.02, False, name)} for name in more})
    monkeypatch.setattr(synthetic, "_judged", judged)
    monkeypatch.setattr(synthetic, "_prompts", prompts)
    arms = {f"arm {number}": synthetic.ARMS["DMD-8"] for number in range(ARMS - 1)}
    arms = {"DMD-8": synthetic.ARMS["DMD-8"]} | arms
    folder = synthetic.write_study(
        tmp_path / "large", arms=arms, settings={"4 steps": synthetic.SETTINGS["4 steps"]}, claim=False, test_prompts=PROMPTS
    )
    began = time.perf_counter()
    study_page.render(folder)
    rendered = time.perf_counter() - began
    file = folder / "index.html"
    clips = sum(path.stat().st_size for path in (folder / "clips").rglob("*.png")) * 4 / 3
    megabytes = (file.stat().st_size - clips) / 1e6
    tab.open(file)
    opened = tab.run("performance.getEntriesByType('navigation')[0].loadEventEnd") / 1000
    what = f"{ARMS} arms, {JUDGES} judges, {PROMPTS} prompts"
    print(f"\n{what}: rendered in {rendered:.1f} s, {megabytes:.1f} MB, open in {opened:.2f} s")
    assert megabytes < 10
    assert opened < 2
