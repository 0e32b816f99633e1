"""Comparing the runs of a sweep: ranking, statistics, predictions, plots, and the report.

loading.py        the records of runs, checked        curves.py         learning curves as numbers
labels.py         names of configurations             plots.py          plots by matplotlib
ranking.py        the comparison: runs, leaderboard   plotly_charts.py  interactive charts
statistics.py     intervals, p-values, the verdict    html.py           the report
factors.py        what was swept                      tables.py         the leaderboard for files and terminals
importance.py     what explains the accuracies        summary.py        a few lines of text
predictions.py    a network on the test set           files.py          all files of a comparison
commands.py       how to reproduce a sweep            search.py         the section about a search
"""
