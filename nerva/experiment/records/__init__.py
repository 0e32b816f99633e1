"""What is kept of a run and of a sweep, in files. Each is written whole or not at all, and checked when it is read."""
