"""The battery's findings as a page."""

from collections.abc import Mapping, Sequence
from typing import Any

_COMMAND = {"CPU": "`make gpu GPU_FLAGS='--device cpu --budget 2400'`"}
# What a CPU at tiny size does not show of each check, by the beginning of its name.
_UNSEEN = {
    "cache": "that features stay on the card within its budget: a CPU has one tier, in main memory",
    "out of memory": "the allocator's refusal: the error was raised, not met",
    "two workers": "two processes on one card: two CUDA contexts, and their share of its memory",
    "speed": "milliseconds, memory and share of the peak at Stable Diffusion 2.1's size, fp16 and "
    "bf16 on tensor cores, torch.compile",
    "training": "512², bf16, 8-bit AdamW, the memory of the whole U-Net",
    "masks": "a second device: both runs were on the CPU, so that equal masks say only that a run "
    "repeats; bf16 is the CPU's",
}


def markdown(report: Mapping[str, Any]) -> str:
    """The page of a report, as `battery` gives it."""
    checks, machine = report["checks"], report["machine"]
    size = (
        "Stable Diffusion 2.1's size, random weights" if report["full"] else "tiny random networks"
    )
    good = sum(bool(found["ok"]) for found in checks.values())
    lines = [
        "# What a GPU shows",
        "",
        f"Made by {_COMMAND.get(machine['device'], '`make gpu`')}, {report['date']}, in "
        f"{report['seconds']} s.",
        "",
        "| machine | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in machine.items()),
        f"| size | {size} |",
        "",
        f"{good} of {len(checks)} checks held.",
        "",
    ]
    if machine["device"] == "CPU":
        lines += [
            "**No GPU was at hand: everything below ran on a CPU, tiny. Not one of its times or "
            "sizes says anything of a GPU.** It shows that the battery runs whole. Not seen:",
            "",
            *(f"- *{name}*: {what}." for name, what in _UNSEEN.items()),
            "",
        ]
    for name, found in checks.items():
        if not name.startswith("masks "):
            lines += _section(name, found)
    rows = [
        {"model": n.removeprefix("masks "), **f} for n, f in checks.items() if n[:6] == "masks "
    ]
    if rows:
        lines += [
            "## Masks",
            "",
            "fp32 on CPU and device, TF32 off: at most one pixel in 100,000 may differ (one, where "
            "there are fewer). bf16 beside fp32 on the device: the difference in mIoU with its 95% "
            "interval.",
            "",
            *_table(rows),
            "",
        ]
    return "\n".join(lines).rstrip() + "\n"


def _section(name: str, found: Mapping[str, Any]) -> list[str]:
    plain = {k: v for k, v in found.items() if not _is_table(v)}
    lines = [f"## {name[0].upper()}{name[1:]}", "", "| | |", "|---|---|"]
    lines += [f"| {key} | {_text(value)} |" for key, value in plain.items()] + [""]
    for key, value in found.items():
        if _is_table(value):
            lines += [f"{key[0].upper()}{key[1:]}:", "", *_table(value), ""]
    return lines


def _is_table(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return [
        "| " + " | ".join(columns) + " |",
        "|" + "---|" * len(columns),
        *("| " + " | ".join(_text(row.get(c, "")) for c in columns) + " |" for row in rows),
    ]


def _text(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "**no**"
    if isinstance(value, list):
        return "; ".join(map(_text, value)) or "–"
    return str(value).replace("|", "\\|")
