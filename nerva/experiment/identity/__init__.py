"""Which run a configuration is: its canonical form, and the code that computes it."""
