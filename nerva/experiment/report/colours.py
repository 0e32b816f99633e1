"""The colours of the plots. Configurations are coloured by rank."""

# Okabe and Ito's palette, which people with colour blindness can tell apart. Its yellow is too light for lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
# More lines can't be told apart. Those of lower ranks are grey.
HIGHLIGHTED = len(COLOURS)
GREY = "#AAAAAA"


def colour_of(rank: int) -> str:
    """The colour of the configuration with a rank, where 1 is the best."""
    return COLOURS[rank - 1] if rank <= HIGHLIGHTED else GREY
