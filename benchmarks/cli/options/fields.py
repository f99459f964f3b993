"""A builder's options as command-line flags, made from its pydantic fields."""

import types
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import click
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from benchmarks.cli.options.layout import Argument, Option
from benchmarks.cli.options.params import as_names
from benchmarks.errors import BenchError

M = TypeVar("M", bound=BaseModel)
_METAVARS: Mapping[Any, str] = {int: "N", float: "X", Path: "PATH", str: "TEXT"}


def parameters(model: type[BaseModel], group: str) -> list[click.Parameter]:
    """One flag a field, under the heading `group`; fields marked `argument` are positional."""
    return [
        _argument(name, field) if _is_argument(field) else _option(name, field, group)
        for name, field in model.model_fields.items()
    ]


def parse(model: type[M], given: Mapping[str, Any]) -> M:
    """Validate what the command line gave; None stands for a flag that was not given.

    Raises:
        BenchError: naming every flag that is wrong.
    """
    values = {name: value for name, value in given.items() if value is not None}
    try:
        return model(**values)
    except ValidationError as error:
        messages: dict[str, str] = {}
        for detail in error.errors(include_url=False):
            name = str(detail["loc"][0]) if detail["loc"] else ""
            messages.setdefault(name, detail["msg"].removeprefix("Value error, "))
        raise BenchError(
            "\n".join(f"{_spelled(name, model)}{message}" for name, message in messages.items())
        ) from None


def flags(model: type[BaseModel], given: Mapping[str, Any]) -> list[str]:
    """The flags of `parameters` that were given, as they are written."""
    written: list[str] = []
    for name, value in given.items():
        flag = f"--{name.replace('_', '-')}"
        if value is None or _is_argument(model.model_fields[name]):
            continue
        if isinstance(value, bool):
            written.append(flag if value else flag.replace("--", "--no-", 1))
        else:
            written += [flag, value if isinstance(value, str) else ",".join(map(str, value))]
    return written


def _spelled(name: str, model: type[BaseModel]) -> str:
    if name not in model.model_fields:
        return ""
    if _is_argument(model.model_fields[name]):
        return f"{name.upper()}: "
    return f"--{name.replace('_', '-')}: "


def _is_argument(field: FieldInfo) -> bool:
    extra = field.json_schema_extra
    return isinstance(extra, Mapping) and bool(extra.get("argument"))


def _argument(name: str, field: FieldInfo) -> Argument:
    return Argument([name], explained=field.description or "", required=field.is_required())


def _option(name: str, field: FieldInfo, group: str) -> Option:
    flag = f"--{name.replace('_', '-')}"
    kind = _bare(field.annotation)
    common: dict[str, Any] = {
        "group": group,
        "default": None,
        "required": field.is_required(),
        "help": _help(field),
    }
    if kind is bool:
        return Option([f"{flag}/--no-{flag.removeprefix('--')}"], **common)
    if get_origin(kind) is Literal:
        choices = click.Choice([str(value) for value in get_args(kind)])
        return Option([flag], type=choices, **common)
    if get_origin(kind) in (tuple, list, frozenset, set):
        return Option([flag], type=as_names, metavar="A,B,...", **common)
    # Everything else stays text here: pydantic reads it by the field's own type.
    return Option([flag], type=str, metavar=_METAVARS.get(kind, "VALUE"), **common)


def _bare(annotation: Any) -> Any:
    """The type without `Annotated` and without `| None`."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
            continue
        branches = [branch for branch in get_args(annotation) if branch is not types.NoneType]
        if get_origin(annotation) in (Union, types.UnionType) and len(branches) == 1:
            annotation = branches[0]
            continue
        return annotation


def _help(field: FieldInfo) -> str:
    text = field.description or ""
    default = field.default
    if field.is_required() or default in (None, (), "") or "[default:" in text:
        return text
    if isinstance(default, bool):
        default = "yes" if default else "no"
    elif isinstance(default, tuple):
        default = ",".join(map(str, default))
    return f"{text}  [default: {default}]".strip()
