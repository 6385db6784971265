"""A run that stopped, and goes on: alone or in several processes, with as many as it had or with others.

One process writes `resume.pt`, as ever. Several, or one whose networks are sharded, write a folder `resume-<updates>`, each
process its own part of it (torch.distributed.checkpoint), beside a file of plain facts; the folder gets its name when it is
whole, and then the older one goes. Either kind is read by any number of processes: a tensor's place in the file does not depend
on how it was cut.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from salt_bench import files
from salt_train import checkpoint
from salt_train.parallel import Crew, spread, stacked
from salt_train.recipe import Recipe
from salt_train.stepper import Stepper
from salt_train.streaming import mapped

if TYPE_CHECKING:
    from salt_train.train import Networks

FACTS = "facts.json"
BY_HEADS = ("keys", "values")
"""Of a long video's state: what the processes of a team have parts of."""
Rows = list[dict[str, Any]]


def pause(folder: Path, nets: Networks, rows: Rows, ours: Crew) -> None:
    """Writes what a killed run needs to go on; a kill at any moment leaves this or what was there before."""
    if ours.alone:
        checkpoint.pause(folder, {"nets": nets.state(), "log": json.dumps(rows)})
    else:
        _write(folder, nets, rows, ours)
    ours.wait()
    if ours.rank == 0:
        checkpoint.forget(folder, but=checkpoint.RESUME if ours.alone else _name(len(rows)))


def resume(folder: Path, nets: Networks, recipe: Recipe, ours: Crew) -> Rows:
    """Puts `nets` where a run stopped; the log until then, empty where none did."""
    alone, spread_out = checkpoint.resume(folder), _newest(folder)
    done = json.loads(alone["log"]) if alone else []
    if spread_out and len((facts := _facts(spread_out))["log"]) > len(done):
        _read(spread_out, facts, nets, recipe, ours)
        return facts["log"]
    if alone and ours.alone:
        nets.load(alone["nets"], recipe)
    elif alone:
        _take(alone["nets"], nets, recipe, ours)
    return done


def rows(folder: Path) -> Rows | None:
    """The log of the stopped run in `folder`, until where it can go on; None where there is none."""
    alone, spread_out = checkpoint.resume(folder), _newest(folder)
    found: list[Rows] = [json.loads(alone["log"])] if alone else []
    found += [_facts(spread_out)["log"]] if spread_out else []
    return max(found, key=len, default=None)


def _write(folder: Path, nets: Networks, rows: Rows, ours: Crew) -> None:
    from torch.distributed import checkpoint as distributed

    video = nets.state()["video"]
    tensors = _living(nets) | {name: stacked(t, ours, _by_heads(name)) for name, t in _flat({"video": video})}
    unfinished = folder / checkpoint.UNFINISHED
    if ours.rank == 0:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
    ours.wait()
    distributed.save(tensors, storage_writer=distributed.FileSystemWriter(unfinished))
    if ours.rank == 0:
        plain = {name: value for name, value in video.items() if not any(_flat(value))}
        facts = {"log": rows, "counts": _counts(nets), "video": plain}
        files.write_bytes(unfinished / FACTS, json.dumps(facts).encode())
        unfinished.rename(folder / _name(len(rows)))


def _read(path: Path, facts: dict[str, Any], nets: Networks, recipe: Recipe, ours: Crew) -> None:
    """Reads into the networks where they lie; what was never saved, since it never learned, stays zero."""
    from torch.distributed import checkpoint as distributed

    reader = distributed.FileSystemReader(path)
    known: dict[str, Any] = reader.read_metadata().state_dict_metadata
    _begin(nets, facts["counts"])
    tensors = {name: t for name, t in _living(nets).items() if name in known}
    video = {name: _room(known[name], ours, _by_heads(name)) for name in known if name.startswith("video.")}
    wrapped = {name: stacked(t, ours, _by_heads(name)) for name, t in video.items()}
    distributed.load(tensors | wrapped, storage_reader=reader, no_dist=ours.alone)
    nets.go_on(_video(facts["video"], video), recipe)


def _by_heads(name: str) -> bool:
    """Whether the tensor of a long video that has this path lies in a team by heads."""
    return name.split(".")[1] in BY_HEADS


def _room(known: Any, ours: Crew, by_heads: bool) -> Tensor:
    """Where this process's part of a saved tensor of the videos goes."""
    videos, *between, last = known.size
    shape = (videos // ours.share.count, *between, last // ours.layout.sequence if by_heads else last)
    return torch.empty(shape, dtype=known.properties.dtype, device=ours.layout.device)


def _video(plain: dict[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The inverse of `_flat` for a long video's state."""
    found, lists = dict(plain), dict[str, dict[int, Tensor]]()
    for name, tensor in tensors.items():
        _, field, *place = name.split(".")
        if place:
            lists.setdefault(field, {})[int(place[0])] = tensor
        else:
            found[field] = tensor
    return found | {name: [parts[i] for i in sorted(parts)] for name, parts in lists.items()}


def _take(saved: dict[str, Any], nets: Networks, recipe: Recipe, ours: Crew) -> None:
    """What one process wrote, for several or for networks that are spread: every process takes its own part."""
    _begin(nets, {name: part["count"] for name, part in saved.items() if "count" in part})
    known = {name: t for part, state in saved.items() if part != "video" for name, t in _flat({part: state})}
    with torch.no_grad():
        for name, tensor in _living(nets).items():
            if name in known:
                tensor.copy_(spread(known[name], tensor))
    video = mapped(lambda t: t[ours.share.of(len(t))].to(ours.layout.device), saved["video"])
    own = {name: [ours.own_heads(t) for t in video[name]] for name in BY_HEADS if name in video}
    nets.go_on(video | own, recipe)


def _begin(nets: Networks, counts: Mapping[str, int]) -> None:
    for name, part in nets.learning.items():
        if isinstance(part, Stepper):
            part.begin()
            part.count = counts[name]


def _counts(nets: Networks) -> dict[str, int]:
    return {name: part.count for name, part in nets.learning.items() if isinstance(part, Stepper)}


def _living(nets: Networks) -> dict[str, Tensor]:
    """The tensors of everything that learns, where they lie, each under its path in `Networks.state`."""
    return dict(_flat(nets.states()))


def _flat(tree: Any, path: str = "") -> Iterator[tuple[str, Tensor]]:
    """Path → tensor of nested dictionaries and lists."""
    if isinstance(tree, Tensor):
        yield path, tree
        return
    inside = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, (list, tuple)) else ()
    for name, value in inside:
        yield from _flat(value, f"{path}.{name}" if path else str(name))


def _newest(folder: Path) -> Path | None:
    """The whole folder of several processes that went furthest."""
    found = [path for path in folder.glob("resume-*") if (path / FACTS).is_file()]
    return max(found, key=lambda path: int(path.name.split("-")[1]), default=None)


def _facts(path: Path) -> dict[str, Any]:
    return json.loads((path / FACTS).read_text())


def _name(updates: int) -> str:
    return f"resume-{updates:06d}"
