"""Votes on a page: counted, tied to its clips, and kept when a study is published again."""

import json
import shutil
from pathlib import Path

import pytest
from synthetic_study import write_study
from typer.testing import CliRunner

from salt_bench import votes
from salt_bench.cli import app
from salt_bench.errors import UserError
from salt_bench.report import page, voting
from salt_bench.report.gallery import Gallery
from salt_bench.report.source import Source
from salt_bench.votes import Poll, Vote


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("study") / "s", claim=False, test_prompts=6)


@pytest.fixture
def study(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "s"))


def _gallery(folder: Path) -> Gallery:
    found = Gallery.read(folder / "clips", ())
    assert found is not None
    return found


def saved(folder: Path, voter: str, winners: dict[tuple[str, str], str], prompts: int = 4) -> Path:
    """Votes of `voter` on the first clips of the study in `folder`: (arm, other) → the winner."""
    gallery, found = _gallery(folder), []
    for (arm, other), winner in winners.items():
        for row in gallery.prompts[:prompts]:
            first, second = sorted((arm, other))
            left, right = votes.sides(gallery.fingerprint, voter, row.id, (first, second))
            choice = winner if winner in votes.CHOICES else "left" if left == winner else "right"
            found.append(Vote(voter, row.id, left, right, choice))
    path = folder.parent / f"votes-{voter}.jsonl"
    votes.write(path, Poll("self-consistency", gallery.fingerprint, tuple(found)))
    return path


def _table(folder: Path) -> dict[tuple[str, str], list[str]]:
    table = voting.table(Source.read(folder), _gallery(folder))
    assert table is not None
    return {(row[0].text, row[1].text): [cell.text for cell in row[2:]] for row in table.rows}


def test_votes_are_counted_and_shown(study: Path) -> None:
    better = {
        ("SC λ=1", "DMD-8"): "SC λ=1",
        ("SC λ=10", "DMD-8"): "DMD-8",
        ("truth", "SC λ=1"): "tie",
        ("DMD-4", "DMD-8"): "skip",
    }
    files = [saved(study, voter, better) for voter in ("ada", "bob", "eve")]
    result = CliRunner().invoke(app, ["votes", *map(str, files), "--report", str(study)])
    assert result.exit_code == 0, result.output
    rows = _table(study)
    assert list(rows) == [("SC λ=1", "DMD-8"), ("SC λ=10", "DMD-8"), ("SC λ=1", "truth")]
    assert [rows["SC λ=1", "DMD-8"][at] for at in (1, 2, 3, 7)] == ["12", "0", "0", "3 × 4"]
    assert [rows["SC λ=10", "DMD-8"][at] for at in (1, 2, 3)] == ["0", "0", "12"]
    assert [rows["SC λ=1", "truth"][at] for at in (1, 2, 3)] == ["0", "12", "0"]
    shares = [float(rows[pair][0].split()[0]) for pair in rows]
    assert shares == [1.0, 0.0, 0.5]
    for name in ("report.md", "index.html"):
        text = (study / name).read_text()
        assert "Blind votes" in text
        assert "Votes: 36, voters: 3, pairs skipped: 12; the left clip was chosen in" in text
    assert "| SC λ=1  | DMD-8   | 1.00 [" in result.output


def test_the_same_votes_give_the_same_bytes_in_whatever_order_they_come(study: Path, tmp_path: Path) -> None:
    one, other = saved(study, "ada", {("SC λ=1", "DMD-8"): "DMD-8"}), saved(study, "bob", {("SC λ=1", "DMD-8"): "tie"})
    twin = Path(shutil.copytree(study, tmp_path / "twin"))
    voting.admit(study, [one], _gallery(study))
    voting.admit(study, [other, one], _gallery(study))
    voting.admit(twin, [other, one], _gallery(twin))
    for folder in (study, twin):
        page.render(folder)
    for name in (votes.FILE, "index.html", "report.md"):
        assert (study / name).read_bytes() == (twin / name).read_bytes()


def test_votes_on_other_clips_are_refused(study: Path) -> None:
    path = saved(study, "ada", {("SC λ=1", "DMD-8"): "DMD-8"})
    voting.admit(study, [path], _gallery(study))
    strip = next((study / "clips").rglob("*.png"))
    shutil.copyfile(next(file for file in (study / "clips").rglob("*.png") if file.read_bytes() != strip.read_bytes()), strip)
    with pytest.raises(UserError, match=r"votes\.jsonl is about other clips .* move it away"):
        page.render(study)
    (study / votes.FILE).unlink()
    result = CliRunner().invoke(app, ["votes", str(path), "--report", str(study)])
    assert isinstance(result.exception, UserError)
    assert "votes belong to the page that they were cast on" in str(result.exception)
    assert not (study / votes.FILE).exists()


def test_a_vote_on_an_arm_that_is_not_there_is_refused(study: Path) -> None:
    path = saved(study, "ada", {("another", "DMD-8"): "DMD-8"})
    with pytest.raises(UserError, match="no such clips here"):
        voting.admit(study, [path], _gallery(study))


def test_votes_outlive_a_new_page_of_the_same_clips_and_are_set_aside_for_others(study: Path, tmp_path: Path) -> None:
    voting.admit(study, [saved(study, "ada", {("SC λ=1", "DMD-8"): "DMD-8"})], _gallery(study))
    same = Path(shutil.copytree(study, tmp_path / "same"))
    (same / votes.FILE).unlink()
    voting.carry(study, same)
    assert (same / votes.FILE).read_bytes() == (study / votes.FILE).read_bytes()
    index = json.loads((same / "clips/index.json").read_text())
    (same / "clips/index.json").write_text(json.dumps({**index, "sample_seed": 1}))
    other = Path(shutil.copytree(same, tmp_path / "other"))
    (other / votes.FILE).unlink()
    voting.carry(study, other)
    aside = other / f"votes-{_gallery(study).fingerprint}.jsonl"
    assert aside.read_bytes() == (study / votes.FILE).read_bytes()
    assert voting.poll(other, _gallery(other)) is None
    voting.carry(other, tmp_path / "same")
    assert (same / aside.name).exists()


def test_the_booth_asks_for_what_is_shown(study: Path) -> None:
    source = Source.read(study)
    asked = voting.booth(source, _gallery(study))
    assert asked is not None
    assert (asked["baseline"], asked["clips"], len(asked["prompts"])) == ("DMD-8", _gallery(study).fingerprint, 4)
    assert "truth" in asked["columns"]
    assert "truth" not in asked["arms"]
    assert voting.booth(source, None) is None
    page.render(study)
    text = (study / "index.html").read_text()
    assert "<on>" not in text
    told = json.loads(text.split('id="ballots">')[1].split("</script>")[0])
    assert told == asked
