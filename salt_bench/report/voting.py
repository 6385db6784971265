"""Blind votes on a page: what its voting booth asks, and what was answered."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from salt_bench import files, votes
from salt_bench.errors import UserError
from salt_bench.report.cells import BLANK, Cell, Table, number, p_value, word
from salt_bench.report.gallery import Gallery
from salt_bench.report.source import Source
from salt_bench.stats.preference import Preference, preference
from salt_bench.stats.verdicts import adjusted
from salt_bench.votes import Poll, Vote


def booth(source: Source, gallery: Gallery | None) -> dict[str, Any] | None:
    """What the booth is told, as JSON; None where there are no two clips to compare."""
    if gallery is None or len(gallery.arms) < 2 or not gallery.prompts:
        return None
    shown = [column.name for column in gallery.arms]
    return {
        "study": source.study["name"],
        "clips": gallery.fingerprint,
        "baseline": source.baseline if source.baseline in shown else shown[0],
        "arms": [arm for arm in source.arms if arm in shown],
        "columns": shown,
        "prompts": [{"id": row.id, "text": row.text} for row in gallery.prompts],
    }


def poll(folder: Path, gallery: Gallery | None) -> Poll | None:
    """The votes in a report's folder; None without any. UserError where they are about other clips than its page shows."""
    path = folder / votes.FILE
    if not path.is_file():
        return None
    found = votes.read(path)
    shown = _clips(gallery)
    if found.clips != shown:
        raise UserError(f"{path} is about other clips ({found.clips}) than this page shows ({shown}): move it away")
    return found


def _clips(gallery: Gallery | None) -> str:
    """Their name, as votes on them have it."""
    return gallery.fingerprint if gallery else "none"


def admit(folder: Path, saved: Sequence[Path], gallery: Gallery | None) -> None:
    """Adds saved votes to those of a report. UserError where they are about other clips than its page shows."""
    before = poll(folder, gallery)
    polls = {path: votes.read(path) for path in saved}
    shown = _clips(gallery)
    for path, one in polls.items():
        if gallery is None or one.clips != shown:
            raise UserError(
                f"{path} is about other clips ({one.study}, {one.clips}) than {folder} shows ({shown}): "
                "votes belong to the page that they were cast on"
            )
        _refuse_strangers(path, one, gallery)
    votes.write(folder / votes.FILE, votes.merged(({folder / votes.FILE: before} if before else {}) | polls))


def _refuse_strangers(path: Path, found: Poll, gallery: Gallery) -> None:
    arms, prompts = {column.name for column in gallery.arms}, {row.id for row in gallery.prompts}
    strange = [vote for vote in found.votes if not {vote.left, vote.right} <= arms or vote.prompt not in prompts]
    if strange:
        raise UserError(f"{path} votes on {strange[0].left}, {strange[0].right} at {strange[0].prompt!r}: no such clips here")


def carry(old: Path, new: Path) -> None:
    """Takes the votes of a report into its successor: as they are where the clips are the same, else under a name of their own,
    where no page counts them."""
    gallery = Gallery.read(new / "clips", ())
    for path in sorted(old.glob(f"{Path(votes.FILE).stem}*.jsonl")):
        name = path.name
        if name == votes.FILE and (clips := votes.read(path).clips) != _clips(gallery):
            name = f"{path.stem}-{clips}.jsonl"
        files.write_bytes(new / name, path.read_bytes())


def table(source: Source, gallery: Gallery | None) -> Table | None:
    """How often each arm is preferred to another; None where nobody has voted."""
    found = poll(source.folder, gallery)
    if found is None or gallery is None:
        return None
    order = [source.baseline, *(column.name for column in gallery.arms)]
    pairs = sorted(
        {tuple(sorted(vote.pair, key=order.index)) for vote in found.votes}, key=lambda pair: [*map(order.index, pair)]
    )
    known = [one for baseline, arm in pairs if (one := preference(found.votes, arm, baseline))]
    rows = tuple(_row(one, p) for one, p in zip(known, adjusted([one.p for one in known]), strict=True))
    columns = ("Arm", "Against", "Preferred", "Won", "Tied", "Lost", "p (Holm)", "Verdict", "Detectable", "n")
    caption = (
        f"{source.world}Two clips of the same prompt and noise, side by side and in step; names hidden, sides drawn "
        f"({gallery.made}). Preferred: the arm's share of the votes, ties counting half; 95% interval over voters and prompts, "
        f"both taken as samples (one voter speaks for one alone); p after Holm over these {len(known)} pairs. Detectable: "
        f"the smallest distance from a half that is found with 80% power. {_counts(found.votes)}"
    )
    return Table("votes", "Blind votes", caption, columns, rows, 2) if rows else None


def _row(one: Preference, holm: float) -> tuple[Cell, ...]:
    verdict = "not decided" if holm >= 0.05 else "preferred" if one.mean > 0.5 else "the other is preferred"
    mark = {"preferred": "good", "the other is preferred": "bad"}.get(verdict, "")
    seen = BLANK if one.detectable > 0.5 else f"{one.detectable:.2g}"
    return (
        word(one.arm),
        word(one.baseline),
        Cell(number(one.mean, one.low, one.high), one.mean),
        *(Cell(str(count), count) for count in (one.won, one.tied, one.lost)),
        p_value(holm),
        word(verdict, mark),
        Cell(seen, one.detectable),
        Cell(f"{one.voters} × {one.prompts}", one.voters * one.prompts),
    )


def _counts(found: Sequence[Vote]) -> str:
    """How many votes of whom, and whether one side was chosen more."""
    voters, skipped = len({vote.voter for vote in found}), sum(vote.choice == "skip" for vote in found)
    decided = [vote.choice == "left" for vote in found if vote.choice in ("left", "right")]
    left = f"; the left clip was chosen in {sum(decided)} of {len(decided)}" if decided else ""
    return f"n = voters × prompts. Votes: {len(found) - skipped}, voters: {voters}, pairs skipped: {skipped}{left}."
