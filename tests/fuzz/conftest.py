"""What needs a package that the tests do not is no test."""

from __future__ import annotations

collect_ignore = ["with_atheris.py"]
