"""``make bench``: measure, print, keep, and on request write docs/benchmarks.md.

Run as ``python -m benchmarks.run``; ``--help`` lists the options. Nothing else should run on the machine meanwhile.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from typing import Any, Dict, List, Mapping, Sequence

from benchmarks import accuracy, report, results, startup
from benchmarks.contests import Contest, Row, is_like
from benchmarks.graphs import prepare
from benchmarks.paired import Outcome, SideResult, ratio, run_contest
from benchmarks.process import NotMeasuredError
from benchmarks.report import Record
from benchmarks.rows import contests, cuda_contests, quick


def main(arguments: Sequence[str] = ()) -> List[Record]:
    """Measure what the command line selects.

    Args:
        arguments: The command line without the program's name.

    Returns:
        The records of all rows that were tried.
    """
    options = _options(arguments)
    machine = report.machine()
    kept = results.load(machine["processor"])
    tables = {row.name: table for table, rows in _all().items() for row in rows}
    records: List[Record] = []

    def keep(new: Sequence[Record], contest: Dict[str, Any]) -> None:
        for record in new:
            records.append(record)
            kept["records"][record.name] = vars(record)
            kept["machines"][tables[record.name]] = machine
            print(f"{record.name}: {record.measured}; asked: {record.asked or 'nothing'}", flush=True)
        if contest["sides"]:
            earlier = kept["contests"].get(contest["title"], {"sides": {}})
            contest["sides"] = {**earlier["sides"], **contest["sides"]}
            kept["contests"][contest["title"]] = contest
        if not options.quick:
            results.save(machine["processor"], kept)

    for contest in cuda_contests() if options.device == "cuda" else contests():
        selected = contest.only(options.rows)
        if selected is not None:
            keep(*_measure(quick(selected) if options.quick else selected, options.rounds))
    if options.device == "cpu":
        keep(_accuracy(options), {"sides": {}})
        keep(_startup(options), {"sides": {}})
    if not records:
        names = ", ".join(record.name for rows in _all().values() for record in rows)
        sys.exit(f"No row is called like {' or '.join(options.rows)}. There are: {names}.")
    if options.write:
        results.save(machine["processor"], kept, publish=True)
        for name, rows in _all().items():
            results.write_page(name, rows)
    return records


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__.splitlines()[0])
    names = "only rows with names like one of these, for example '5-10-15*'"
    parser.add_argument("--rows", nargs="+", default=["*"], metavar="NAME", help=names)
    parser.add_argument("--rounds", type=int, help="rounds that count, instead of each row's own number")
    parser.add_argument("--seeds", type=int, default=3, help="trainings for the comparison of accuracies (%(default)s)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="which table (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that it works, measures nothing")
    parser.add_argument("--write", action="store_true", help="publish: the tables of docs/benchmarks.md")
    options = parser.parse_args(list(arguments))
    if options.quick and options.write:
        parser.error("--quick measures nothing that could be written")
    return options


def _say(line: str) -> None:
    print(line, flush=True)


def _today() -> str:
    return datetime.date.today().isoformat()


def _measure(contest: Contest, rounds: int | None) -> tuple[List[Record], Dict[str, Any]]:
    _say(contest.title)
    works = {contest.work, *(side.work for side in contest.sides.values() if side.work is not None)}
    try:
        for work in works:
            prepare(work.graph)
    except Exception as error:  # For example a data set that cannot be downloaded: no other row needs it.
        reason = NotMeasuredError(f"no data: {' '.join(str(error).split())}", is_absent=True)
        return [report.missing(report.empty(row), reason, _today()) for row in contest.rows], {"sides": {}}
    outcomes = run_contest(contest.work, contest.sides, rounds=rounds or contest.rounds, say=_say)
    done = {key: outcome for key, outcome in outcomes.items() if isinstance(outcome, SideResult)}
    is_full = contest.work.is_full
    told = {
        "title": contest.title,
        "table": contest.work.table,
        "unit": "an epoch" if is_full else "a batch",
        "sides": {key: report.side_row(side, is_full, _today()) for key, side in done.items()},
        "results": {key: side.to_dict() for key, side in done.items()},
    }
    return [_record(row, outcomes) for row in contest.rows], told


def _record(row: Row, outcomes: Mapping[str, Outcome]) -> Record:
    ours, theirs = outcomes[row.ours], outcomes[row.theirs]
    for side in (ours, theirs):
        if isinstance(side, NotMeasuredError):
            return report.missing(report.empty(row), side, _today())
    assert isinstance(ours, SideResult) and isinstance(theirs, SideResult)
    pair = ratio(ours, theirs) if row.is_limit else ratio(theirs, ours)
    return report.compared(row, pair, ours, _today())


def _accuracy(options: argparse.Namespace) -> List[Record]:
    contest = accuracy.CONTEST.only(options.rows)
    if contest is None:
        return []
    _say(contest.title)
    found = accuracy.measure(contest, options.seeds, options.quick, _say)
    records = []
    for row in contest.rows:
        record, difference = _accuracy_row(row), found[row.name]
        if isinstance(difference, NotMeasuredError):
            records.append(report.missing(record, difference, _today()))
            continue
        record.figures = vars(difference)
        each = ", ".join(f"{points:+.2f}" for points in difference.all_points)
        values = f"{100 * difference.ours:.2f}% against {100 * difference.theirs:.2f}%"
        record.measured = (
            f"{difference.points:+.2f} points, standard error {difference.error:.2f}: {values} (seeds: {each})"
        )
        record.met = abs(difference.points) <= accuracy.WITHIN
        record.date = _today()
        records.append(record)
    return records


def _accuracy_row(row: Row) -> Record:
    record = report.empty(row)
    record.work = f"{row.work}, {accuracy.EPOCHS} epochs"
    record.asked = f"within {accuracy.WITHIN:g} points"
    return record


_FIRST_EPOCH = "`gnnkit run` on digits, to the end of its first epoch"
_STARTUP = {
    "startup-help": ("`gnnkit --help`", startup.help_appears, startup.HELP_SECONDS),
    "startup-run": (_FIRST_EPOCH, startup.training_begins, startup.TRAINING_SECONDS),
}


def _startup(options: argparse.Namespace) -> List[Record]:
    records = []
    for name, (work, measure, limit) in _STARTUP.items():
        if not is_like(name, options.rows):
            continue
        _say(work)
        found = measure(1 if options.quick else 7)
        record = _startup_row(name)
        record.measured = f"{found.median:.2f} s ({found.low:.2f} to {found.high:.2f})"
        record.met, record.figures, record.date = found.median <= limit, vars(found), _today()
        records.append(record)
    return records


def _startup_row(name: str) -> Record:
    work, _, limit = _STARTUP[name]
    return Record(name, work, "", f"{limit:g} s")


def _all() -> Dict[str, List[Record]]:
    """Every row there is by table, as if nothing had been measured."""
    tables: Dict[str, List[Record]] = {"cpu": [], "links": [], "graphs": [], "typed": [], "cuda": []}
    for contest in [*contests(), *cuda_contests()]:
        tables[contest.work.table] += [report.empty(row) for row in contest.rows]
    tables["cpu"] += [_accuracy_row(row) for row in accuracy.CONTEST.rows] + [_startup_row(name) for name in _STARTUP]
    return tables


if __name__ == "__main__":
    main(sys.argv[1:])
