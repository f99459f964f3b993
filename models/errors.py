"""The one error of this package that is meant for the user."""


class ModelError(Exception):
    """Something about a model is wrong in a way its user can mend; the message says how."""
