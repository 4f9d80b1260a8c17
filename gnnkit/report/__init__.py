"""Reports: one page about one run or several, with everything inside it."""

from gnnkit.report.collect import ReportOptions
from gnnkit.report.writing import Report, write_report

__all__ = ["Report", "ReportOptions", "write_report"]
