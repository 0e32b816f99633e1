"""Training a run: processes, checkpoints, provenance and replay."""
