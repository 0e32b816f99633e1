"""What a run is made of: the schema behind conf/, its validation, numerics, and composition by Hydra."""
