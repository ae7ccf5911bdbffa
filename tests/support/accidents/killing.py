"""Run a step in a process of its own, kill it at a random point, look, and start it again.

Or stop the database for a while at that point instead, and see what the step makes of it.

Importing everything takes seconds, so one process imports it once and forks the others
(``multiprocessing``'s fork server). None of it is connected to the database before the fork.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from multiprocessing.forkserver import ensure_running
from pathlib import Path
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
#: One thread each, of kinds that a process can inherit; and no progress bars.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "NUMBA_THREADING_LAYER": "workqueue",
    "FIFTYONE_SHOW_PROGRESS_BARS": "false",
    "FIFTYONE_DATABASE_VALIDATION": "false",
    "HF_HUB_OFFLINE": "1",
    "PYTHONPATH": str(Path(__file__).parents[3]),
}
#: Nothing here takes so many seconds, but for what an outage adds to it.
_LONGEST = 120.0
#: How a step ends that has lost the database.
_LOST = "ConnectionError: the connection to FiftyOne's database was lost."


@dataclass(frozen=True)
class Measured:
    """An uninterrupted run.

    Attributes:
        seconds: How long it took.
        writes: How often it wrote to the database or to the disk.
        left: What it left, see ``looking.snapshot``.
    """

    seconds: float
    writes: int
    left: dict[str, Any]


@dataclass(frozen=True)
class Outage:
    """The database answers nothing for a while.

    Attributes:
        process: Number of its process.
        seconds: How long.
    """

    process: int
    seconds: float

    def begin(self) -> None:
        """Stop it; it goes on by itself, whatever becomes of this process."""
        os.kill(self.process, signal.SIGSTOP)
        later = f"sleep {self.seconds}; kill -CONT {self.process}"
        subprocess.Popen(["/bin/sh", "-c", later], start_new_session=True)


@dataclass(frozen=True)
class Outcome:
    """One kill, or one outage.

    Attributes:
        step: Name of the step.
        at: Where it was killed: "0.31 s" or "write 12".
        finished: Whether the step was done already.
        wrong: What is wrong after it.
        strays: Documents of the database that nothing refers to, see ``looking.clear_strays``.
        seconds: What it took with all looking.
    """

    step: str
    at: str
    finished: bool
    wrong: list[str] = field(default_factory=list)
    strays: int = 0
    seconds: float = 0.0


def start(warm: Sequence[str] = ()) -> None:
    """Start the process that forks the others, after it has imported everything.

    Args:
        warm: Names of steps whose models and compiled functions it loads too.
    """
    _CONTEXT.set_forkserver_preload(["tests.support.accidents.warm"])
    before = {name: os.environ.get(name) for name in (*_ENVIRONMENT, "SMIC_WARM")}
    os.environ.update(_ENVIRONMENT, SMIC_WARM=",".join(warm))
    try:
        ensure_running()
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def in_process(function: Any, *arguments: Any) -> Any:
    """Return what a function returns that is called in a process of its own."""
    return _result(function, *_begin(function, arguments))


def together(function: Any, *arguments: Any) -> list[Any]:
    """Return what a function returns in each of two processes that call it at the same time."""
    both = [_begin(function, arguments) for _ in range(2)]
    return [_result(function, *one) for one in both]


def _begin(function: Any, arguments: Sequence[Any]) -> tuple[Any, Connection]:
    ours, theirs = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=_called, args=(theirs, function, arguments))
    process.start()
    theirs.close()
    return process, ours


def _result(function: Any, process: Any, ours: Connection) -> Any:
    try:
        if not ours.poll(_LONGEST):
            raise TimeoutError(f"{function.__name__} takes longer than {_LONGEST:.0f} s")
        good, result = ours.recv()
    except EOFError:
        raise RuntimeError(f"the process of {function.__name__} died") from None
    finally:
        if process.is_alive():
            process.join(5)
        process.kill()
        process.join()
        process.close()
    if not good:
        raise RuntimeError(result)
    return result


def _called(pipe: Connection, function: Any, arguments: Sequence[Any]) -> None:
    from .scenes import connect

    _print_to(os.devnull)
    try:
        connect()
        pipe.send((True, function(*arguments)))
    except BaseException:
        pipe.send((False, traceback.format_exc()))


def _print_to(path: str) -> None:
    """Let all that this process prints go to the end of a file."""
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)


class _Writes:
    """Counts what this process writes to the database and the disk; kills it before the n-th, or
    stops the database then."""

    _COMMANDS = frozenset(
        {"insert", "update", "delete", "findAndModify", "create", "drop", "createIndexes"}
        | {"dropIndexes", "renameCollection", "bulkWrite"}
    )
    _FILES = frozenset({"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate"})

    def __init__(self, last: int | None, outage: Outage | None) -> None:
        from pymongo import monitoring

        self.count = 0
        self._last, self._outage = last, outage
        self._on = False

        class Listener(monitoring.CommandListener):
            def started(_, event: Any) -> None:
                merges = any(
                    "$merge" in s or "$out" in s for s in event.command.get("pipeline", ())
                )
                if event.command_name in self._COMMANDS or merges:
                    self._add()

            def succeeded(_, event: Any) -> None: ...

            def failed(_, event: Any) -> None: ...

        monitoring.register(Listener())
        sys.addaudithook(self._hear)

    def begin(self) -> None:
        self._on = True

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._on:
            return
        if event == "open":
            path, _, flags = arguments
            writing = (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if not writing or not isinstance(path, (str, bytes, os.PathLike)):
                return
            if os.fsdecode(path).startswith("/dev/"):
                return
            self._add()
        elif event in self._FILES:
            self._add()

    def _add(self) -> None:
        if not self._on:
            return
        self.count += 1
        if self.count - 1 != self._last:
            return
        if self._outage is None:
            os.kill(os.getpid(), signal.SIGKILL)
        else:
            self._outage.begin()


def _act(pipe: Connection, name: str, scene: Any, last: int | None, outage: Outage | None) -> None:
    """Do one step; say when it begins and ends."""
    from . import scenes
    from .steps import STEPS

    step = STEPS[name]
    os.makedirs(scene.folder.parent, exist_ok=True)
    _print_to(f"{scene.folder}.log")
    writes = _Writes(last, outage)
    scenes.connect()
    if not scene.folder.exists():
        scenes.copy(scene, step.of)
        step.prepare(scene)
    scene.enter()
    if step.of is not None:
        _ = scene.dataset
    pipe.send("begins")
    started = time.perf_counter()
    writes.begin()
    try:
        step.run(scene)
    except BaseException:
        traceback.print_exc()
        pipe.send(traceback.format_exc())
        return
    pipe.send((time.perf_counter() - started, writes.count))


def _do(
    name: str,
    scene: Any,
    *,
    after: float | None = None,
    last: int | None = None,
    outage: Outage | None = None,
) -> tuple[float, int] | None:
    """Do one step, and kill it after some seconds or before a write, or stop the database then.

    Returns:
        Its seconds and writes; None if it was killed in the middle.

    Raises:
        RuntimeError: The step failed.
    """
    ours, theirs = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_act, args=(theirs, name, scene, last, outage))
    process.start()
    theirs.close()
    told = None
    longest = _LONGEST + (2 * outage.seconds if outage else 0)
    try:
        if not ours.poll(_LONGEST) or ours.recv() != "begins":
            raise RuntimeError(f"{name} does not begin, see {scene.folder}.log")
        if not ours.poll(longest if after is None else after):
            os.kill(process.pid, signal.SIGKILL)
        process.join(5)
        told = ours.recv() if ours.poll() else None
    except EOFError:
        pass
    finally:
        process.kill()
        process.join()
        process.close()
    if isinstance(told, str):
        raise RuntimeError(told)
    return told


def _judge(scene: Any, name: str, expected: dict[str, Any]) -> tuple[list[str], bool]:
    """What is wrong after a kill, and whether the step was whole already."""
    from . import looking
    from .steps import STEPS

    scene.enter()
    found = looking.look(scene)
    allowed = STEPS[name].until_again
    if allowed is not None:
        found = [what for what in found if allowed not in what]
    wrong = sorted({f"after the kill: {what}" for what in found})
    whole = not [*looking.differences(expected, looking.snapshot(scene, locks=False))]
    return wrong, whole


def _compare(scene: Any, expected: dict[str, Any], again: bool) -> tuple[list[str], int]:
    """What is wrong after the step was done again, and strays. Its datasets are removed."""
    from . import looking, scenes

    scene.enter()
    found = looking.differences(expected, looking.snapshot(scene, locks=again))
    wrong = [f"done again: {what}" for what in [*looking.look(scene), *found, *looking.left_over()]]
    scenes.remove(scene)
    return wrong, looking.clear_strays()


def _clear(scene: Any) -> None:
    from . import looking, scenes

    scenes.remove(scene)
    looking.left_over(remove=True)
    looking.clear_strays()


def _take(scene: Any) -> dict[str, Any]:
    from . import looking, scenes

    scene.enter()
    wrong = [*looking.look(scene), *looking.left_over()]
    if wrong:
        raise RuntimeError(f"wrong without any accident: {wrong}")
    left = looking.snapshot(scene)
    scenes.remove(scene)
    return left


class Accidents:
    """Kills steps in a folder.

    Args:
        folder: Where everything happens; empty.
        seed: Seed of where they are killed.
    """

    def __init__(self, folder: Path, seed: int = 0) -> None:
        from .scenes import Scene, build

        self._scene = Scene
        self._folder, self._random = folder, random.Random(seed)
        self._count = 0
        self._measured: dict[str, Measured] = {}
        in_process(build, folder / "base")

    def _new_scene(self) -> Any:
        self._count += 1
        name = f"run{self._count:04d}"
        return self._scene(name, self._folder / name, self._folder / "base")

    def measure(self, name: str) -> Measured:
        """Return what an uninterrupted run of a step takes and leaves."""
        if name not in self._measured:
            scene = self._new_scene()
            done = _do(name, scene)
            if done is None:
                raise RuntimeError(f"{name} died, see {scene.folder}.log")
            self._measured[name] = Measured(*done, in_process(_take, scene))
            shutil.rmtree(scene.folder, ignore_errors=True)
        return self._measured[name]

    def kill(self, name: str, *, write: int | None = None, after: float | None = None) -> Outcome:
        """Kill a step before one of its writes or after some seconds, look, and do it again.

        Args:
            name: The step.
            write: Number of the write, from 0.
            after: Seconds.
        """
        measured, scene, began = self.measure(name), self._new_scene(), time.perf_counter()
        done = _do(name, scene, after=after, last=write)
        at = f"{after:.2f} s" if write is None else f"write {write} of {measured.writes}"
        return self._end(name, scene, at, done is not None, began)

    def stop_database(self, name: str, write: int, outage: Outage) -> Outcome:
        """Stop the database before one of a step's writes, look, and do the step again.

        Args:
            name: The step.
            write: Number of the write, from 0.
            outage: How the database is stopped.
        """
        from .steps import STEPS

        measured, scene, began = self.measure(name), self._new_scene(), time.perf_counter()
        done, other = None, []
        try:
            done = _do(name, scene, last=write, outage=outage)
        except RuntimeError as error:
            said = str(error).strip().splitlines()[-1]
            theirs = STEPS[name].of_fiftyone and said.startswith("pymongo.errors.")
            if not (theirs or said.startswith(_LOST)):
                other = [f"it says: {said}"]
        time.sleep(max(0.0, began + outage.seconds + 3 - time.perf_counter()))
        at = f"write {write} of {measured.writes}"
        found = self._end(name, scene, at, done is not None, began)
        return replace(found, wrong=other + found.wrong)

    def _end(self, name: str, scene: Any, at: str, finished: bool, began: float) -> Outcome:
        measured = self.measure(name)
        wrong: list[str] = []
        strays, whole = 0, False
        try:
            wrong, whole = in_process(_judge, scene, name, measured.left)
            if not whole and _do(name, scene) is None:
                wrong.append("done again: it dies")
        except RuntimeError as error:
            wrong.append(f"done again: {str(error).strip().splitlines()[-1]}")
        try:
            more, strays = in_process(_compare, scene, measured.left, not whole)
            wrong += more
        except RuntimeError as error:
            wrong.append(f"looking fails: {str(error).strip().splitlines()[-1]}")
        if wrong:
            in_process(_clear, scene)
        else:
            shutil.rmtree(scene.folder, ignore_errors=True)
            os.unlink(f"{scene.folder}.log")
        return Outcome(name, at, finished, wrong, strays, time.perf_counter() - began)

    def kill_somewhere(self, name: str) -> Outcome:
        """Kill a step at a random point: half of the time of its duration, half of its writes."""
        measured = self.measure(name)
        if self._random.random() < 0.5:
            return self.kill(name, after=self._random.uniform(0, measured.seconds))
        return self.kill(name, write=self._random.randrange(measured.writes))


@contextmanager
def accidents(folder: Path, steps: Sequence[str], seed: int = 0) -> Iterator[Accidents]:
    """Start everything that kills these steps, in a folder that is empty."""
    start(steps)
    yield Accidents(folder, seed)
