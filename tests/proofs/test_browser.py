"""Every page in a real browser: no complaint, everything works by mouse and keyboard, light and dark, on a desk and on a phone.

Pictures of what was seen go to SALT_SCREENSHOTS, if that names a folder.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chromium
import pytest
from chromium import DESKTOP, PHONE, Page

from salt_bench import votes
from salt_bench.report import page as study_page
from salt_bench.report.gallery import Gallery

ROOT = Path(__file__).parents[2]
PAGES = sorted(ROOT.glob("reports/*/index.html"))
STUDIES = [file for file in PAGES if (file.parent / "scores.jsonl").is_file()]
VOTED = ROOT / "reports/sc_weight/index.html"
SHOWN = [arm for arm in json.loads((VOTED.parent / "clips/index.json").read_text())["arms"] if arm not in ("truth", "teacher")]
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
    shown = "[...document.querySelectorAll('img, svg')].filter(one => !one.closest('dialog'))"
    assert tab.run(f"{shown}.every(one => one.getBoundingClientRect().width > 0)")
    assert tab.run("performance.getEntriesByType('resource').every(one => one.name.startsWith('file:'))"), "it went elsewhere"
    tab.picture(pictures / f"{file.parent.name}-{screen['width']}-{'dark' if dark else 'light'}.png")


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.parent.name)
def test_a_click_sorts_a_table_and_another_turns_it(tab: Page, file: Path) -> None:
    tab.open(file)
    tab.run("""
        var table = document.getElementById("table-main") || document.getElementById("table-realtime");
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


def _booth(tab: Page, voter: str, screen: Any = DESKTOP, dark: bool = False) -> None:
    """Opens the voting booth of a page and begins."""
    tab.open(VOTED, screen, dark)
    tab.run("document.getElementById('vote').click()")
    tab.run(f"document.getElementById('booth-voter').value = {voter!r}")
    tab.run("document.getElementById('booth-entry').requestSubmit()")


def _shown(tab: Page, name: str) -> str:
    return str(tab.run(f"document.getElementById('booth-{name}').textContent"))


def _sources(tab: Page) -> tuple[str, str]:
    left, right = (str(tab.run(f"document.getElementById('booth-{side}').src")) for side in ("left", "right"))
    return left, right


def test_votes_are_blind_drawn_by_name_kept_over_a_reload_and_saved(tab: Page, tmp_path: Path) -> None:
    gallery = Gallery.read(VOTED.parent / "clips", ())
    assert gallery is not None
    tab.complaints.clear()
    tab.saves_to(tmp_path)
    _booth(tab, "ada")
    arms, asked = [column.name for column in gallery.arms], []
    assert _shown(tab, "count").startswith("0 of ")
    assert not [arm for arm in arms if arm in tab.run("document.getElementById('booth').innerText")], "a name is seen"
    for key in ("ArrowLeft", "ArrowRight", "ArrowDown", "s", "ArrowLeft", "Backspace"):
        asked.append((_shown(tab, "asked"), _sources(tab), key))
        tab.press(key)
    assert _shown(tab, "count").startswith("4 of ")
    assert (_shown(tab, "asked"), _sources(tab)) == asked[4][:2], "back asks the last one again"
    frame = "getComputedStyle(document.getElementById('booth-left')).transform"
    assert len({(tab.run(frame), time.sleep(0.06))[0] for _ in range(15)}) > 3, "they play"
    assert tab.run(frame) == tab.run(frame.replace("left", "right"))

    _booth(tab, "ada")
    assert _shown(tab, "count").startswith("4 of "), "a reload loses nothing"
    assert (_shown(tab, "asked"), _sources(tab)) == asked[4][:2]
    _booth(tab, "bob")
    assert _shown(tab, "count").startswith("0 of ")
    _booth(tab, "ada")
    tab.run("document.getElementById('booth-end').click()")
    assert "Votes of ada: 3; pairs skipped: 1" in _shown(tab, "said")
    tab.run("document.getElementById('booth-save').click()")
    file = tmp_path / _shown(tab, "file")
    for _ in range(100):
        if file.is_file() and file.stat().st_size:
            break
        time.sleep(0.05)
    poll = votes.read(file)  # which draws the sides anew, and compares
    assert (poll.clips, [vote.choice for vote in poll.votes]) == (gallery.fingerprint, ["left", "right", "tie", "skip"])
    slugs = {column.name: column.slug for column in gallery.arms}
    texts = {row.id: row.text for row in gallery.prompts}
    for vote, (text, sources, _) in zip(poll.votes, asked, strict=False):
        assert texts[vote.prompt] == text
        assert tuple(gallery.strips[slugs[arm], vote.prompt] for arm in (vote.left, vote.right)) == sources
    assert tab.complaints == []


def test_a_whole_poll_can_be_voted_by_keyboard_alone_and_sides_are_mixed(tab: Page) -> None:
    _booth(tab, "eve")
    total, choices = int(_shown(tab, "count").split()[2]), 0
    assert total == (len(SHOWN) - 1) * 8
    while tab.run("!document.getElementById('booth-ballot').hidden"):
        tab.press("ArrowLeft")
        choices += 1
    assert choices == total
    counts = tab.run("[...document.getElementById('booth-rows').rows].map(row => [...row.cells].map(one => one.textContent))")
    assert {row[1] for row in counts} == {"DMD-8"}
    won, lost = (sum(int(row[at]) for row in counts) for at in (2, 4))
    assert won + lost == total
    assert 0.3 * total < won < 0.7 * total, "whoever always says left prefers nothing"


@pytest.mark.parametrize("screen", [DESKTOP, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_booth_fits_its_screen(tab: Page, pictures: Path, screen: Any, dark: bool) -> None:
    for stage in ("entry", "ballot", "tally"):
        if stage == "entry":
            tab.open(VOTED, screen, dark)
            tab.run("document.getElementById('vote').click()")
        elif stage == "ballot":
            _booth(tab, f"fit {screen['width']} {dark}", screen, dark)
            tab.press("ArrowLeft")
        else:
            tab.run("document.getElementById('booth-end').click()")
        wide = "document.getElementById('booth').scrollWidth <= document.getElementById('booth').clientWidth"
        assert tab.run(f"{wide} && document.documentElement.scrollWidth <= innerWidth"), stage
        tab.picture(pictures / f"booth-{stage}-{screen['width']}-{'dark' if dark else 'light'}.png")


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
    began = time.process_time()
    study_page.render(folder)
    rendered = time.process_time() - began
    file = folder / "index.html"
    clips = sum(path.stat().st_size for path in (folder / "clips").rglob("*.png")) * 4 / 3
    megabytes = (file.stat().st_size - clips) / 1e6
    tab.open(file)
    opened = tab.run("performance.getEntriesByType('navigation')[0].loadEventEnd") / 1000
    what = f"{ARMS} arms, {JUDGES} judges, {PROMPTS} prompts"
    print(f"\n{what}: rendered in {rendered:.1f} core-s, {megabytes:.1f} MB, open in {opened:.2f} s")
    assert rendered < 10
    assert megabytes < 10
    assert opened < 2
