"""Searches: Optuna proposes the points, and each trial is a run like any other. Only this package imports optuna.

space.py      the space, in the grammar of Hydra's sweeps
study.py      Optuna's study, made of the recorded trials: proposals, pruning, importance
trials.py     trains the trials of a round, in this process or in several
search.py     the search as a whole: its identity, its rounds, its records
outcome.py    what a search reports at its end
command.py    `nerva search`: carries out a search, and shows its progress
"""
