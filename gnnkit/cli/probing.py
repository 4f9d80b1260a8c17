"""Asking plugins whether they can work, each in a process of its own, so that none can take others down.

Run as ``python -m gnnkit.cli.probing GROUP NAME`` this module answers for one plugin with a line of JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, List

from gnnkit.availability import BROKEN, NOT_INSTALLED, READY, Availability

TIMEOUT = 60
"""Seconds that a plugin may take to answer."""

_MARK = "gnnkit-probe:"


def probe_all(group: str) -> Dict[str, Availability]:
    """Probe every installed plugin of an entry-point group, and name the official ones that are not installed.

    Args:
        group: "gnnkit.backends" or "gnnkit.devices".

    Returns:
        One answer per name, sorted by name.
    """
    registry = _registry(group)
    names = registry.names()
    with ThreadPoolExecutor(max_workers=2) as pool:
        answers = dict(zip(names, pool.map(lambda name: probe(group, name), names)))
    for name, distribution in registry.official.items():
        if name not in answers:
            answers[name] = Availability(NOT_INSTALLED, "", f"pip install {distribution}")
    return dict(sorted(answers.items()))


def probe(group: str, name: str) -> Availability:
    """Probe one plugin in a fresh interpreter."""
    command = [sys.executable, "-m", "gnnkit.cli.probing", group, name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        return Availability(BROKEN, f"no answer within {TIMEOUT} s.", "uninstall it, or report it to its authors.")
    for line in reversed(done.stdout.splitlines()):
        if line.startswith(_MARK):
            return Availability(**json.loads(line[len(_MARK) :]))
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    return Availability(BROKEN, f"the interpreter ended with code {done.returncode}: {last}", "uninstall it.")


def _registry(group: str) -> Any:
    if group == "gnnkit.devices":
        from gnnkit.devices import devices

        return devices
    from gnnkit.backends import backends

    return backends


def _answer(group: str, name: str) -> Availability:
    from gnnkit.errors import BrokenPluginError, GnnkitError

    try:
        answer: Availability = _registry(group).load(name).probe()
        return answer
    except BrokenPluginError as error:
        return Availability(BROKEN, error.cause, error.fix)
    except GnnkitError as error:
        return Availability(BROKEN, str(error))
    except Exception as error:  # A stranger's probe may raise anything, though it must not.
        return Availability(BROKEN, f"its probe raised {type(error).__name__}: {error}", "report it to its authors.")


def main(arguments: List[str]) -> None:
    """Answer for one plugin."""
    answer = _answer(arguments[0], arguments[1])
    print(_MARK + json.dumps({"status": answer.status, "detail": answer.detail, "fix": answer.fix}))


def rows(answers: Dict[str, Availability]) -> List[List[str]]:
    """Table rows: name, status, and what to know or to do."""
    table = []
    for name, answer in answers.items():
        notes = [answer.detail] if answer.is_ready else [answer.detail, answer.fix and f"To fix: {answer.fix}"]
        table.append([name, answer.status, " ".join(note for note in notes if note)])
    return table


__all__ = ["READY", "Availability", "probe", "probe_all", "rows"]

if __name__ == "__main__":
    main(sys.argv[1:])
