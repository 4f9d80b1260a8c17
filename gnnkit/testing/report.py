"""What a run of the conformance kit found.

Rules: the records are frozen and hold plain values; a plugin is conformant when nothing failed and enough ran, because
a suite that skips everything proves nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Tuple

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


@dataclass(frozen=True)
class CheckResult:
    """How one check of one case ended.

    Attributes:
        check: Name of the check, for example "outputs".
        case: What it was made for, for example the convolution "gat"; empty where there is one case only.
        status: "passed", "failed" or "skipped".
        message: What is wrong, or which capability is not declared. Empty if passed.
        seconds: Wall time.
        where: File, line and function of the plugin that raised what the check failed by. Empty where nothing was
            raised there: the numbers are wrong.
        traceback: The whole traceback of a failure.
    """

    check: str
    case: str
    status: str
    message: str = ""
    seconds: float = 0.0
    where: str = ""
    traceback: str = ""

    @property
    def problem(self) -> str:
        """What is wrong with what, in one line; of a failure."""
        return f"{self.id}: {self.message}" + (f" (at {self.where})" if self.where else "")

    @property
    def id(self) -> str:
        """Name and case as pytest writes them: ``outputs[gat]``."""
        return f"{self.check}[{self.case}]" if self.case else self.check


@dataclass(frozen=True)
class Report:
    """All results of one plugin.

    Attributes:
        kind: "backend", "device" or "dataset".
        name: The plugin's name.
        results: One per check and case, in the order in which they ran.
        floor: How many must have passed at the least.

    Example:
        >>> report = Report("backend", "mine", (CheckResult("probe", "", "passed"),), floor=2)
        >>> report.verdict, report.problems
        ('not conformant', ['1 checks passed, at least 2 must.'])
    """

    kind: str
    name: str
    results: Tuple[CheckResult, ...]
    floor: int

    def with_status(self, status: str) -> List[CheckResult]:
        """The results that ended so."""
        return [result for result in self.results if result.status == status]

    @property
    def passed(self) -> List[CheckResult]:
        """What passed."""
        return self.with_status(PASSED)

    @property
    def failed(self) -> List[CheckResult]:
        """What failed, each with its message."""
        return self.with_status(FAILED)

    @property
    def skipped(self) -> List[CheckResult]:
        """What was left out, each with the capability that is not declared."""
        return self.with_status(SKIPPED)

    @property
    def problems(self) -> List[str]:
        """Why the plugin is not conformant, one line each. Empty if it is."""
        lines = [result.problem for result in self.failed]
        if len(self.passed) < self.floor:
            lines.append(f"{len(self.passed)} checks passed, at least {self.floor} must.")
        return lines

    @property
    def is_conformant(self) -> bool:
        """Whether nothing failed and enough ran."""
        return not self.problems

    @property
    def verdict(self) -> str:
        """Either "conformant" or "not conformant"."""
        return "conformant" if self.is_conformant else "not conformant"

    def counts(self) -> Dict[str, Dict[str, int]]:
        """How many cases of each check passed, failed and were skipped, in order."""
        found: Dict[str, Dict[str, int]] = {}
        for result in self.results:
            row = found.setdefault(result.check, {PASSED: 0, FAILED: 0, SKIPPED: 0})
            row[result.status] += 1
        return found

    @property
    def seconds(self) -> float:
        """Wall time of all checks."""
        return sum(result.seconds for result in self.results)

    def to_dict(self) -> Dict[str, Any]:
        """Plain values for one line of JSON; tracebacks are left out."""
        results = [asdict(result) for result in self.results]
        for values in results:
            del values["traceback"]
        return {
            "kind": self.kind,
            "name": self.name,
            "verdict": self.verdict,
            "passed": len(self.passed),
            "failed": len(self.failed),
            "skipped": len(self.skipped),
            "floor": self.floor,
            "seconds": round(self.seconds, 2),
            "problems": self.problems,
            "results": results,
        }
