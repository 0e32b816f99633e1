"""`python -m nerva`: the command line."""

from nerva.cli import main

main()
