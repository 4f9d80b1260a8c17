"""Running a sweep: Optuna proposes, keeps and prunes; gnnkit trains and judges.

Rules: what is proposed for a trial depends on the seed of the sweep, the trial's number and the trials that have ended,
never on the process, so a sweep that was killed and goes on gives the trials of an unbroken one. A trial that had begun
is done again from its start. With several processes, trials end in another order, which samplers that learn from
earlier trials see.
"""

from __future__ import annotations

import multiprocessing
import shutil
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Optional, Set

from gnnkit.errors import ConfigError, GnnkitError, NotInstalledError, UnknownNameError
from gnnkit.io.yaml_files import write_yaml
from gnnkit.paths import PathLike, check_writable, is_file, user_path
from gnnkit.runs import Callback, EpochRecord
from gnnkit.studies.folds import run_folds
from gnnkit.studies.seeds import run_seeds
from gnnkit.studies.space import grid, nested
from gnnkit.studies.sweep import BEST, SWEEP, Sweep, SweepResult, Trial, laid_over, read_sweep
from gnnkit.studies.together import Member, SharedData, train_one
from gnnkit.tasks import make_task
from gnnkit.train.assembling import load_data, split_data
from gnnkit.train.config import RunConfig
from gnnkit.train.trackers import make_trackers

if TYPE_CHECKING:
    import optuna

JOURNAL = "study.log"
"""Optuna's journal in the folder of a sweep."""

STUDY = "sweep"
"""Name of the study in the journal."""

_MOST_FAILED = 3
"""Trials that may fail from the first on before a sweep gives up."""

_FEWEST_COMPLETE = 4
"""Complete trials below which nothing can be said of settings."""


def run_sweep(
    sweep: Sweep,
    folder: PathLike,
    *,
    processes: int = 1,
    report: Callable[[Trial], None] = lambda trial: None,
) -> SweepResult:
    """Run the trials of a sweep that have not ended yet.

    Args:
        sweep: What to do.
        folder: Where the sweep is kept; one of the same sweep goes on.
        processes: How many trials are trained at the same time.
        report: Called after each trial.

    Raises:
        NotInstalledError: Optuna, or a tracker's package, is not installed.
        UnknownNameError: There is no such sampler, pruner or tracker.
        ConfigError: The folder is of something else, or the first three trials all fail.

    Example:
        >>> sweep = read_sweep("sweep.yaml")  # doctest: +SKIP
        >>> run_sweep(sweep, "sweeps/first").best.values  # doctest: +SKIP
        {'train.lr': 0.01, 'model.dropout': 0.5}
    """
    if processes < 1:
        raise ConfigError(f"The number of processes is {processes}, expected at least 1.")
    home = user_path(folder, "The sweep's folder")
    first = sweep.config(sweep.first)
    make_trackers(first.track, asdict(first), home)  # What is not there is told before the first trial.
    _keep(sweep, home)
    data = SharedData()
    study = _open_study(sweep, home, data)
    failed = 0
    for trial in _ended(sweep, study, home, processes, data):
        report(trial)
        failed = failed + 1 if trial.state == "failed" and trial.number < _MOST_FAILED else 0
        if failed == _MOST_FAILED:
            raise ConfigError(f"The first {failed} trials all failed, the last one with: {trial.problem}")
        _write_best(sweep, study, home)
    return _result(sweep, study, home)


def read_result(folder: PathLike) -> SweepResult:
    """What a sweep has found so far, from its folder; nothing is trained.

    Args:
        folder: A sweep's.

    Raises:
        NotInstalledError: Optuna is not installed.
        ConfigError: It is none of a sweep.
    """
    home = user_path(folder, "The sweep's folder")
    return _result(read_sweep(home / SWEEP), _study_of(home), home)


def importances(folder: PathLike) -> Dict[str, float]:
    """How much of the score's variance each setting of a sweep explains, the most important one first.

    By fANOVA (Hutter et al., ICML 2014) as Optuna has it, over the complete trials; the shares add up to 1. It says
    nothing about settings that all trials have in common.

    Args:
        folder: A sweep's.

    Returns:
        Shares by the dotted name of the setting. Empty with fewer than four complete trials, or if all have one score.

    Raises:
        NotInstalledError: Optuna is not installed.
        ConfigError: It is no sweep's folder.
    """
    optuna = _import_optuna()
    study = _study_of(user_path(folder, "The sweep's folder"))
    complete = [trial for trial in study.trials if trial.state == optuna.trial.TrialState.COMPLETE]
    if len(complete) < _FEWEST_COMPLETE or len({trial.value for trial in complete}) == 1:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))


def _study_of(home: Path) -> optuna.Study:
    """The study of a sweep that has begun."""
    library = _import_optuna()
    if not is_file(home / JOURNAL):
        raise ConfigError(f"{home} is no sweep's folder: it has no {JOURNAL}. Give a folder that gnnkit sweep made.")
    library.logging.set_verbosity(library.logging.WARNING)
    try:
        study: optuna.Study = library.load_study(study_name=STUDY, storage=_storage(home))
    except (KeyError, ValueError) as error:
        raise ConfigError(f"{home / JOURNAL} is damaged: {type(error).__name__}: {error}.") from error
    return study


def _keep(sweep: Sweep, home: Path) -> None:
    """Write down what is asked for, or find that it is what the folder has."""
    file = home / SWEEP
    if file.is_file():
        if read_sweep(file) != sweep:
            raise ConfigError(f"{home} is the folder of another sweep. Choose another one, or remove it.")
        return
    check_writable(home, as_folder=True)
    if home.exists() and any(home.iterdir()):
        raise ConfigError(f"The folder {home} already holds something. Choose another one, or remove it.")
    write_yaml(file, sweep.to_dict())


def _open_study(sweep: Sweep, home: Path, data: SharedData) -> optuna.Study:
    """The study in the folder of a sweep, made if it is not there."""
    library = _import_optuna()
    library.logging.set_verbosity(library.logging.WARNING)
    sampler, pruner = _make_sampler(sweep), _make_pruner(sweep)
    study: optuna.Study = library.create_study(
        storage=_storage(home),
        study_name=STUDY,
        sampler=sampler,
        pruner=pruner,
        direction="maximize" if _is_higher_better(sweep, data) else "minimize",
        load_if_exists=True,
    )
    if sweep.options.sampler == "grid":
        for point in grid(sweep.space)[len(study.trials) : sweep.num_trials]:
            study.enqueue_trial({name: sweep.space[name].written(value) for name, value in point.items()})
    return study


def _is_higher_better(sweep: Sweep, data: SharedData) -> bool:
    config = sweep.config(sweep.first)
    graph = data.of(config)
    graph = load_data(config) if graph is None else split_data(config, graph)
    return make_task(config.task, graph, config.task_options).higher_is_better


def _storage(home: Path) -> optuna.storages.JournalStorage:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(str(home / JOURNAL)))


def _import_optuna() -> Any:
    """The package optuna.

    Raises:
        NotInstalledError: It is missing.
    """
    try:
        import optuna
    except ImportError as error:
        raise NotInstalledError("Optuna, which proposes what a sweep tries,", "pip install 'gnnkit[sweep]'") from error
    return optuna


def _ended(sweep: Sweep, study: optuna.Study, home: Path, processes: int, data: SharedData) -> Iterator[Trial]:
    """Run what is left to do, and give each trial that ends."""
    todo = _numbers(sweep, study)
    if processes == 1:
        for number in todo:
            yield _run_trial(sweep, home, number, data)
        return
    pool = ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn"))
    try:
        running: Set[Future[Trial]] = set()
        for number in todo:
            running.add(pool.submit(_run_in_worker, sweep, home, number))
            while len(running) >= processes:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        for future in running:
            yield future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _numbers(sweep: Sweep, study: optuna.Study) -> Iterator[int]:
    """Numbers of the trials to run, each asked for when its turn comes: first those that had begun."""
    optuna = _import_optuna()
    begun = [trial.number for trial in study.trials if trial.state == optuna.trial.TrialState.RUNNING]
    yield from begun
    waiting = [trial for trial in study.trials if trial.state == optuna.trial.TrialState.WAITING]
    for _ in range(sweep.num_trials - len(study.trials) + len(waiting)):
        yield study.ask().number


_OF_WORKER = SharedData()


def _run_in_worker(sweep: Sweep, home: Path, number: int) -> Trial:
    """Train one point in a process that trains several."""
    return _run_trial(sweep, home, number, _OF_WORKER)


def _run_trial(sweep: Sweep, home: Path, number: int, data: SharedData) -> Trial:
    """Train one point and tell the study, from any process."""
    optuna = _import_optuna()
    study = optuna.load_study(
        study_name=STUDY, storage=_storage(home), sampler=_make_sampler(sweep), pruner=_make_pruner(sweep)
    )
    trial = optuna.trial.Trial(study, study.trials[number]._trial_id)
    values = {name: axis.suggest(trial, name) for name, axis in sweep.space.items()}
    folder = home / f"trial-{number:04d}"
    shutil.rmtree(folder, ignore_errors=True)  # What an attempt that was killed left.
    try:
        config = replace(sweep.config(values), run_dir=str(folder))
        study.tell(number, _score(sweep, config, trial, home, data))
    except optuna.TrialPruned:
        study.tell(number, state=optuna.trial.TrialState.PRUNED)
    except GnnkitError as error:  # Such as a loss that diverged: the next point may do.
        trial.set_user_attr("problem", str(error))
        study.tell(number, state=optuna.trial.TrialState.FAIL)
    return _trial(sweep, study.trials[number])


def _score(sweep: Sweep, config: RunConfig, trial: optuna.trial.Trial, home: Path, data: SharedData) -> float:
    """The validation metric of a point: of its best epoch, or the mean over seeds and folds."""
    optuna = _import_optuna()
    options = sweep.options
    if options.seeds == 1 and options.folds is None:
        pruning = _Pruning(trial)
        result = train_one(config, home, data=data.of(config), callbacks=[pruning])
        if pruning.stopped is not None:
            raise optuna.TrialPruned
        return result.valid[result.metric]
    scores: List[float] = []
    reports = _Reports(trial)

    def report(member: Member) -> None:
        scores.append(member.result.valid[member.result.metric])
        if reports.is_bad(sum(scores) / len(scores), len(scores)):
            raise optuna.TrialPruned

    if options.folds is None:
        run_seeds(config, options.seeds, report=report, group=home)
    else:
        run_folds(config, options.folds, repeats=options.seeds, report=report, group=home)
    return sum(scores) / len(scores)


class _Reports:
    """What a trial tells the study on its way. A trial that is done again has told the first steps before."""

    def __init__(self, trial: optuna.trial.Trial) -> None:
        self._trial = trial
        known = trial.study.trials[trial.number].intermediate_values
        self._last = max(known, default=0)

    def is_bad(self, value: float, step: int) -> bool:
        """Tell a value; returns whether it is not worth going on."""
        if step <= self._last:
            return False
        self._trial.report(value, step)
        return bool(self._trial.should_prune())


class _Pruning(Callback):
    """Tells every evaluation, and stops where it is not worth going on."""

    def __init__(self, trial: optuna.trial.Trial) -> None:
        self._reports = _Reports(trial)

    def on_epoch(self, record: EpochRecord) -> None:
        """See :class:`Callback`."""
        if record.valid_metric is not None and self._reports.is_bad(record.valid_metric, record.epoch):
            self.stop("pruned: other trials were better at this epoch")


def _trial(sweep: Sweep, frozen: optuna.trial.FrozenTrial) -> Trial:
    """A trial as plain values."""
    names = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}
    values = {name: axis.read(frozen.params[name]) for name, axis in sweep.space.items() if name in frozen.params}
    problem = frozen.user_attrs.get("problem")
    return Trial(frozen.number, values, names.get(frozen.state.name, "running"), frozen.value, problem)


def _best(study: optuna.Study) -> Optional[optuna.trial.FrozenTrial]:
    optuna = _import_optuna()
    complete = [trial for trial in study.trials if trial.state == optuna.trial.TrialState.COMPLETE]
    return study.best_trial if complete else None


def _write_best(sweep: Sweep, study: optuna.Study, home: Path) -> None:
    best = _best(study)
    if best is not None:
        write_yaml(home / BEST, laid_over(sweep.base, nested(_trial(sweep, best).values)))


def _result(sweep: Sweep, study: optuna.Study, home: Path) -> SweepResult:
    """What a sweep has found so far."""
    best = _best(study)
    ended = [_trial(sweep, trial) for trial in study.trials if trial.state.is_finished()]
    higher = study.direction.name == "MAXIMIZE"
    return SweepResult(ended, None if best is None else _trial(sweep, best), home, higher)


def _make_sampler(sweep: Sweep) -> Any:
    """The sampler that a sweep names, whose random numbers are of the trial and not of the process.

    Raises:
        UnknownNameError: Optuna has no such sampler.
        ConfigError: It does not take the options.
    """
    from gnnkit.studies.seeded import SeededSampler

    optuna = _import_optuna()
    name = "random" if sweep.options.sampler == "grid" else sweep.options.sampler
    made = _named(optuna.samplers, name, "sampler", "grid")
    return SeededSampler(made, dict(sweep.options.sampler_options), sweep.options.seed)


def _make_pruner(sweep: Sweep) -> Any:
    optuna = _import_optuna()
    name = sweep.options.pruner
    made = _named(optuna.pruners, "nop" if name == "none" else name, "pruner", "none")
    try:
        return made(**sweep.options.pruner_options)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"sweep.pruner_options do not fit {name!r}: {error}.") from error


def _named(module: Any, name: str, kind: str, more: str) -> Any:
    """A class of Optuna by its name in small letters without the kind: "tpe" is ``TPESampler``."""
    ending = kind.capitalize()
    known: Dict[str, Any] = {
        each[: -len(ending)].lower(): getattr(module, each)
        for each in dir(module)
        if each.endswith(ending) and each not in ("BaseSampler", "BasePruner", "GridSampler", "PartialFixedSampler")
    }
    if name not in known:
        raise UnknownNameError(kind, name, [more, *(each for each in known if each != "nop")])
    return known[name]
