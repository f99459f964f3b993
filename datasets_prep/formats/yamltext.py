"""YAML from people."""

from typing import Any

import yaml

# What PyYAML lets through from a value that does not fit its tag, such as 2001-99-99 or `!!int x`.
_RAW = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError)


def load_yaml(text: str) -> Any:
    """`yaml.safe_load` with one kind of error.

    Raises:
        yaml.YAMLError: if it is not YAML, a value does not fit its type, or it is nested too deep.
    """
    try:
        return yaml.safe_load(text)
    except _RAW as error:
        raise yaml.YAMLError(f"a value does not fit its type: {error}") from None
