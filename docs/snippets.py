"""Runs the code blocks of the documentation; ``make docs`` does so before it builds.

Run as ``python docs/snippets.py [PAGE.md ...]``. The blocks of a page run in order, in an empty folder of their own:
Python blocks in one namespace, bash blocks with ``set -e``. Two pages run side by side. A bash block that an earlier
page has to the letter is not run again. A comment on the line above a block says what is special:

``<!-- fragment -->``    the block is not run: something around it is missing, or it is tried elsewhere
``<!-- data -->``        it needs real data, and runs where GNNKIT_DATA names their folder
``<!-- fails -->``       a command that is to end with an error
``<!-- file: NAME -->``  the block is written into this file, whatever its language
``<!-- source: FILE -->``  the block is a part of this file of the repository, to the letter; it runs, too
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Dict, FrozenSet, Iterator, List, NoReturn, Optional

DOCS = Path(__file__).parent
LANGUAGES = ("python", "bash")
_FENCE = re.compile(r"^( *)```(\w*)\s*$")
_MARK = re.compile(r"^\s*<!-- (fragment|data|fails|(file|source): \S+) -->\s*$")


@dataclass(frozen=True)
class Block:
    """A block of code on a page.

    Attributes:
        page: The page's file.
        line: Where the code begins, counted from 1.
        language: What stands behind the fence.
        code: The lines.
        mark: What the comment above says; empty without one.
    """

    page: Path
    line: int
    language: str
    code: str
    mark: str

    @property
    def place(self) -> str:
        """File and line, as editors take it."""
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    mark, opened, code, indent, language = "", 0, [], "", ""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        fence = _FENCE.match(line)
        if opened and fence and not fence[2]:
            yield Block(page, opened + 1, language, "\n".join(code) + "\n", mark)
            mark, opened = "", 0
        elif opened:
            code.append(line[len(indent) :])
        elif fence:
            opened, code, indent, language = number, [], fence[1], fence[2]
        elif _MARK.match(line):
            mark = line.strip()[5:-4]
        elif line.strip():
            mark = ""


def run_page(page: Path, tried: FrozenSet[str] = frozenset()) -> Dict[str, float]:
    """Run a page's blocks.

    Args:
        page: The page's file.
        tried: Code of bash blocks that another page runs.

    Returns:
        How many blocks ran, stand on an earlier page, were fragments, and lacked data; and the seconds that it took.

    Raises:
        SystemExit: A block failed; where and why has been printed.
    """
    began = time.perf_counter()
    counts: Dict[str, float] = {"run": 0, "on an earlier page": 0, "fragments": 0, "without data": 0}
    names: Dict[str, Any] = {"__name__": "__main__"}
    start = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            for block in blocks(page):
                check_source(block)
                if block.mark.startswith("file: "):
                    Path(block.mark[6:]).write_text(block.code, encoding="utf-8")
                elif block.language not in LANGUAGES:
                    continue
                elif block.mark == "fragment":
                    counts["fragments"] += 1
                elif block.mark == "data" and not os.environ.get("GNNKIT_DATA"):
                    counts["without data"] += 1
                elif block.code in tried:
                    counts["on an earlier page"] += 1
                else:
                    _run(block, names)
                    counts["run"] += 1
        finally:
            os.chdir(start)
    return {**counts, "s": round(time.perf_counter() - began)}


def check_source(block: Block) -> None:
    """Compare a block with the file that it is a part of, if it is one.

    Raises:
        SystemExit: The file has other lines; which block it is has been printed.
    """
    kind, _, file = block.mark.partition(": ")
    if kind == "source" and block.code not in (DOCS.parent / file).read_text(encoding="utf-8"):
        _fail(block, f"It is not, or no longer, a part of {file}.")


def _run(block: Block, names: Dict[str, Any]) -> None:
    problem = _run_python(block, names) if block.language == "python" else _run_bash(block)
    if problem is not None:
        _fail(block, problem)


def _fail(block: Block, problem: str) -> NoReturn:
    print(f"{block.place}: this block failed.\n\n{block.code}\n{problem}", file=sys.stderr)
    raise SystemExit(1)


def _run_python(block: Block, names: Dict[str, Any]) -> Optional[str]:
    try:
        exec(compile("\n" * (block.line - 1) + block.code, str(block.page), "exec"), names)
    except Exception:
        return traceback.format_exc()
    return None


def _run_bash(block: Block) -> Optional[str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    command = ["bash", "-euo", "pipefail", "-c", block.code]
    done = subprocess.run(command, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False)
    if (done.returncode != 0) == (block.mark == "fails"):
        return None
    return f"{done.stdout}{done.stderr}\nexit code {done.returncode}"


def repeated(pages: List[Path]) -> List[FrozenSet[str]]:
    """For each page the bash blocks that an earlier one runs."""
    seen: FrozenSet[str] = frozenset()
    found = []
    for page in pages:
        found.append(seen)
        seen |= {block.code for block in blocks(page) if block.language == "bash" and block.mark in ("", "data")}
    return found


def main(arguments: List[str]) -> None:
    """Run the blocks of some pages, or of all."""
    pages = [Path(name).resolve() for name in arguments] or sorted([*DOCS.rglob("*.md"), DOCS.parent / "README.md"])
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for page, counts in zip(pages, pool.map(run_page, pages, repeated(pages))):
            if any(number for what, number in counts.items() if what != "s"):
                print(f"{page.name}: {', '.join(f'{n:g} {what}' for what, n in counts.items() if n)}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
