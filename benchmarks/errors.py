"""The one error of this package that is meant for the user."""


class BenchError(Exception):
    """Something about a run is wrong in a way its user can mend; the message says how."""
