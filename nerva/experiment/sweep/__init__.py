"""Sweeps: the plan of their points, the launcher that trains them, and their progress."""
