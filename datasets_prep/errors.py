"""The one error of this package that is meant for the user."""


class DatasetError(Exception):
    """Something about a dataset is wrong in a way its user can mend; the message says how."""
