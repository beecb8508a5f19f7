"""What ends a run through no mistake of the user's. No torch."""


class Fault(Exception):
    """The run cannot go on; the message says why and what to type."""


class Superseded(Fault):
    """Another process has taken the run over: nothing more may be written into its folder."""
