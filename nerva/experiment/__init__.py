"""Experiments: from a configuration to a compared sweep.

Each subpackage is a step of the flow, and imports only from the steps before it:

config      what a run is made of: the schema, its validation, and composition by Hydra
identity    which run a configuration is: its canonical form, and the code that computes it
records     what is kept of a run and of a sweep, in files
run         training a run: processes, checkpoints, provenance, replay
report      ranking, statistics, plots and the HTML report
tracking    MLflow: a view of the records
sweep       the points of a sweep, and the launcher that trains them
"""
