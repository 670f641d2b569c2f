"""The same training with several seeds, side by side in processes of their own."""

from __future__ import annotations

import json
import signal
import traceback
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import as_completed
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rlx import checkpoint, seeding
from rlx.algos.base import Algorithm
from rlx.bars import bar
from rlx.seeding import undisturbed
from rlx.training import History, iterate

OF_ONE_SEED = ("callbacks", "checkpoint", "resume", "extra")
here_only: list[str] = []  # what has been put in the library's place, and in this process only


class Runs(list):
    """What each seed gave, a list in the order of `seeds`.

    `failures` holds the traceback of each seed that raised; the list and `seeds` are without them.
    To leave out what failed flatters a method: say how many did."""

    def __init__(
        self,
        results: Iterable[Any] = (),
        seeds: Iterable[int] = (),
        failures: dict[int, str] | None = None,
    ) -> None:
        super().__init__(results)
        self.seeds, self.failures = list(seeds), failures or {}

    def last(self, name: str = "running_return") -> np.ndarray:
        """What each seed's last update reported under that name: (seeds,)."""
        return np.array([history[name][-1] for history in self])


def repeat(
    make: Callable[[int], Any],
    seeds: int | Iterable[int] = 10,
    *,
    jobs: int | None = None,
    path: str | Path | None = None,
    progress: bool = True,
    **options: Any,
) -> Runs:
    """Train `make(seed)` with several seeds. Returns their histories, in the order of the seeds.

        runs = rlx.repeat(make, seeds=10, updates=50)

    `make` returns an algorithm, which is trained with `options` (a budget, `stop_return`: those of
    `rlx.iterate`); if it returns anything else, that is the result. `seeds` are given, or that many
    independent ones (the first five of ten are those of five). Before `make` is called, the global
    generators are seeded, too: a seed gives the same result wherever it runs.

    `jobs` seeds are trained at a time, by default one a core, each in a process with one thread:
    `make` and what it uses are copied there, and may be defined in a notebook's cell. With 1, all
    run here, one after another. In the folder `path`, which belongs to one `make`, each seed that
    is done is kept, whole or not at all, and not run again; results are then numbers, strings,
    lists and dicts. What a seed raises ends that seed alone, with a warning that names it. An
    interrupt returns what is done.

    Raises RuntimeError if all seeds fail, ValueError if `path` holds runs with other options."""
    seeds = (
        seeding.spawn(0, seeds, "repeat")
        if isinstance(seeds, int)
        else [int(seed) for seed in seeds]
    )
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds={seeds}: give at least one, and none twice")
    if jobs is not None and jobs < 1:
        raise ValueError(f"jobs={jobs}: at least one is needed")
    if foreign := [name for name in OF_ONE_SEED if name in options]:
        raise TypeError(
            f"{foreign[0]}= would be shared by all seeds: let `make` call rlx.train itself, with "
            f"one for its own seed, and return the history"
        )
    if here_only and jobs != 1:
        raise ValueError(
            f"{', '.join(here_only)}: swapped in this process, but not in others. Give jobs=1, or "
            "swap and train inside `make`, and return the history"
        )
    files = {seed: None if path is None else Path(path) / f"{seed}.json" for seed in seeds}
    results = {s: _read(f, options) for s, f in files.items() if f is not None and f.exists()}
    failures: dict[int, str] = {}
    todo = [(make, seed, options, files[seed]) for seed in seeds if seed not in results]
    with bar(total=len(seeds), initial=len(results), unit="seed", disable=not progress) as shown:
        try:
            for seed, result, failure in _here(todo) if jobs == 1 else _there(todo, jobs):
                if failure is None:
                    results[seed] = result
                else:
                    failures[seed] = failure
                shown.update()
        except KeyboardInterrupt:
            shown.write(f"Interrupted: {len(results)} of {len(seeds)} seeds are done.")
    if failures:
        first = next(iter(failures))
        if len(failures) == len(seeds):
            raise RuntimeError(f"every seed failed; seed {first} with\n{failures[first]}")
        whys = (f"{s} ({text.splitlines()[-1]})" for s, text in failures.items())
        warnings.warn(
            f"{len(failures)} of {len(seeds)} seeds failed, see .failures: {', '.join(whys)}",
            stacklevel=2,
        )
    done = [seed for seed in seeds if seed in results]
    return Runs([results[seed] for seed in done], done, failures)


def _here(todo):
    for task in todo:
        yield task[1], *_attempt(*task)


def _there(todo, jobs):
    if not todo:
        return
    # Not the standard library's pool: that cannot send what a notebook's cell defines, runs an
    # unguarded script again in each process, and cannot be stopped.
    from loky import cpu_count, get_reusable_executor

    # The processes wait for the next call, for a minute. One that leaves just when work is handed
    # out is replaced, and nothing is lost: that is not worth a warning.
    warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
    workers = min(jobs or cpu_count(), len(todo))
    pool = get_reusable_executor(workers, timeout=60, initializer=_deaf)
    futures = {pool.submit(_attempt, *task): task[1] for task in todo}
    try:
        for future in as_completed(futures):
            try:
                yield futures[future], *future.result()
            except Exception as error:  # of the process, not of `make`
                yield futures[future], None, "".join(traceback.format_exception(error)).strip()
    except BaseException:
        pool.shutdown(kill_workers=True)
        raise


def _deaf() -> None:
    """Ctrl-C goes to every process: the one that waits for the others stops them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _attempt(make, seed, options, file) -> tuple[Any, str | None]:
    """The result, or the traceback, of one seed."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with undisturbed(seed):
            result = make(seed)
            if isinstance(result, Algorithm):
                result = History(iterate(result, **options))
        if file is not None:
            kept = {"options": options, "history": isinstance(result, History), "result": result}
            checkpoint.write(file, json.dumps(kept).encode())
        return result, None
    except Exception:
        return None, traceback.format_exc().strip()
    finally:
        torch.set_num_threads(threads)


def _read(file: Path, options: dict[str, Any]) -> Any:
    kept = json.loads(file.read_bytes())
    if kept["options"] != options:
        raise ValueError(
            f"{file} holds a run with {kept['options']}, not {options}: name another folder, or "
            "delete this one"
        )
    return History(kept["result"]) if kept["history"] else kept["result"]
