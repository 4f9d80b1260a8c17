"""Reports: one page about one run or several, with everything inside it."""
