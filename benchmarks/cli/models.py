"""`bench models`: what can be measured, and whether a model keeps the contract."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks.cli.options.layout import VerbGroup
from benchmarks.cli.options.params import (
    PATH,
    argument,
    as_json,
    data_root,
    model_options,
    no_custom_code,
    option,
    print_json,
    quiet,
)

_MAIN = ("coco", "pascal")  # the datasets whose test classes the table speaks of
_WORST_FIRST = ("yes", "partly", "unknown")


@click.group(
    cls=VerbGroup,
    invoke_without_command=True,
    examples=(
        "bench models                                        all models and their sources",
        "bench models --wide                                 with licences and training data",
        "bench models show dense-nn                          one model and its options",
        "bench models fetch seggpt resnet50                  download weights ahead of a run",
        "bench models check my_model.py --option patch=8     does mine keep the contract?",
        "bench models convert sd2 sd21 diffews-start         a DiffewS to train from",
    ),
)
@option("--wide", is_flag=True, help="Preprocessing, licences, training data and more, too.")
@data_root
@as_json
@click.pass_context
def models(ctx: click.Context, wide: bool, data_root: Path | None, as_json: bool) -> None:
    """List the models, fetch or convert weights, or check a model.

    The list says whether training saw masks of the test classes of COCO or PASCAL (--wide: of any
    dataset), and whether --models all runs a model with its real weights or at a tiny random size.
    A revision is the commit that was fetched, or main.
    """
    if ctx.invoked_subcommand is not None:
        return
    from benchmarks.config.fetch import fetched_revisions
    from benchmarks.config.file import root
    from models.catalog import MODELS

    revisions = fetched_revisions(root("data_root", data_root))
    entries = [_entry(name) for name in MODELS]
    for entry in entries:
        hub = (source for source in entry["sources"] if "://" not in source)
        entry["revisions"] = {source: revisions.get(source, "main") for source in hub}
    if as_json:
        print_json(entries)
        return
    from benchmarks.cli.console import print_table

    headers = ["model", "paper", "year", "params", "side", "weights", "saw test", "runs"]
    if wide:
        headers += [
            "pixels",
            "revision",
            "licence",
            "training data",
            "saw test classes of",
            "extras",
        ]
    rows = [[*_row(entry), *(_more(entry) if wide else ())] for entry in entries]
    print_table(headers, rows, right=("params", "side"))


def _row(entry: dict[str, Any]) -> list[str]:
    """The main columns of one model."""
    paper = entry["source"].removeprefix("https://").removeprefix("arxiv.org/abs/")
    weights = "\n".join([*entry["sources"], *(["(gated)"] if entry["gated"] else [])])
    if entry["extras"]:
        weights = f"pip install 'fss-bench[{','.join(entry['extras'])}]'"
    if not weights and entry["runs"] == "tiny":
        weights = "a checkpoint"
    seen = entry["sees_test_classes"] or {}
    answers = {seen.get(dataset, seen.get("*", "unknown")) for dataset in _MAIN} if seen else ()
    worst = next((answer for answer in _WORST_FIRST if answer in answers), "no")
    parameters, side = entry["parameters"], entry["side"]
    return [
        entry["name"],
        paper.removeprefix("github.com/") or "–",
        str(entry["year"] or "–"),
        f"{parameters / 1e6:.3g}M" if parameters else "–",
        str(side or "–"),
        weights or "–",
        worst,
        entry["runs"],
    ]


def _more(entry: dict[str, Any]) -> list[str]:
    """The other columns of one model."""
    by_answer: dict[str, list[str]] = {}
    for dataset, answer in sorted((entry["sees_test_classes"] or {"*": "no"}).items()):
        by_answer.setdefault(answer, []).append("others" if dataset == "*" else dataset)
    order = (*_WORST_FIRST, "no")
    answers = sorted(by_answer.items(), key=lambda item: order.index(item[0]))
    return [
        entry["pixels"] or "–",
        "\n".join(revision[:12] for revision in entry["revisions"].values()) or "–",
        entry["licence"] or "–",
        entry["training_data"],
        "; ".join(f"{answer}: {', '.join(found)}" for answer, found in answers),
        ", ".join(entry["extras"]) or "–",
    ]


@models.command(
    examples=(
        "bench models show dense-nn",
        "bench models show mobile-sam         what models are built on",
        "bench models show diffews --json",
    )
)
@argument("name", "A model's name, a backbone's or a SAM's.")
@as_json
def show(name: str, as_json: bool) -> None:
    """Show one model and its options.

    Of a backbone or a SAM, it says where the weights come from.
    """
    entry = _entry(name)
    if as_json:
        print_json(entry)
        return
    from benchmarks.cli.console import print_table

    options = entry.pop("options")
    print_table(("", entry.pop("name")), [(key, _text(value)) for key, value in entry.items()])
    if options:
        headers = ("option", "default", "meaning")
        print_table(headers, [[o["name"], o["default"], o["meaning"]] for o in options])


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "–"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {text}" for key, text in value.items())
    return str(value or "–")


def _entry(name: str) -> dict[str, Any]:
    """A model's card and options as plain values."""
    from dataclasses import asdict

    from models.catalog import MODELS, tiny_options
    from models.errors import ModelError
    from models.weights.published import BACKBONES, SAMS, Published
    from models.weights.published import MODELS as PUBLISHED

    if part := {**BACKBONES, **SAMS}.get(name):
        return {"name": name, **asdict(part), "options": []}
    if name.endswith(".py"):
        raise ModelError(f"only models of the suite have a card; run: bench models check {name}")
    cls = MODELS[name]
    options = [
        {
            "name": key,
            "default": None
            if field.is_required()
            else field.get_default(call_default_factory=True),
            "meaning": field.description or "",
        }
        for key, field in cls.Options.model_fields.items()
    ]
    return {
        "name": name,
        **asdict(cls.card),
        **asdict(PUBLISHED.get(name, Published())),
        "runs": "real" if tiny_options(name) is None else "tiny",
        "options": options,
    }


@models.command(
    examples=(
        "bench models fetch seggpt insid3            what two models need",
        "bench models fetch resnet50 dinov2-large    backbones",
        "bench models fetch facebook/sam-vit-base    any weights of the hub",
    )
)
@argument("names", "Models, backbones or hub ids owner/name[@revision].", nargs=-1, required=True)
@data_root
@as_json
@quiet
def fetch(names: Sequence[str], data_root: Path | None, as_json: bool, quiet: bool) -> None:
    """Download weights ahead of a run.

    They go where the models look for them, so that `bench run --offline` finds them. A download
    that breaks off goes on with the same command. Digests are kept in weights.json of the data
    root, and held to when the same weights are fetched again. Where weights lie elsewhere, it
    prints which files they are, how to get them, and where to put them.
    """
    from dataclasses import asdict

    from benchmarks.cli.console import print_table, progress
    from benchmarks.config.fetch import by_hand, record, sources
    from benchmarks.config.fetch import fetch as fetch_weights
    from benchmarks.config.file import root

    manual = {name: text for name in names if (text := by_hand(name))}
    wanted = dict.fromkeys(s for name in names if name not in manual for s in sources(name))
    fetched = []
    with progress(quiet=quiet) as shown:
        for source in wanted:
            fetched += (files := fetch_weights(source, shown))
            record(root("data_root", data_root), files)
    if as_json:
        print_json([asdict(file) for file in fetched] + [{"by_hand": t} for t in manual.values()])
        return
    click.echo("\n".join(manual.values()), nl=False)
    if not wanted:
        return
    rows = [(f.source, f.file, f"{f.size / 1e6:.1f}", f.sha256) for f in fetched]
    print_table(("weights", "file", "MB", "sha256"), rows, right=("MB",))


@models.command(
    examples=(
        "bench models check dense-nn",
        "bench models check dense-nn --option backbone=resnet50",
        "bench models check my_model.py:Mine --device cuda",
    )
)
@argument("name", "A model's name, module:Class, or file.py[:Class].")
@model_options("An option of the model.")
@option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@no_custom_code
@as_json
@click.pass_context
def check(
    ctx: click.Context,
    name: str,
    options: Sequence[str],
    device: str,
    custom_code: bool | None,
    as_json: bool,
) -> None:
    """Tell whether a model keeps the contract.

    It is tried out on small random images: shapes, determinism, a batch of two against two of
    one, inputs left as they were. Exit code 1 if something does not hold.
    """
    from dataclasses import asdict

    from benchmarks.cli.options.segmenters import chosen_model, loaded
    from models.check import check_segmenter

    segmenter, where = loaded(chosen_model(name, options, custom_code), device)
    findings = check_segmenter(segmenter, device=where)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            word, colour = ("ok", "green") if finding.passed else ("wrong", "red")
            click.echo(f"{click.style(f'{word:6}', fg=colour)}{finding.check}")
            if finding.detail:
                click.echo(f"      {finding.detail}")
    if not all(finding.passed for finding in findings):
        ctx.exit(1)


@models.group(cls=VerbGroup, examples=("bench models convert sd2 sd21 diffews-start",))
def convert() -> None:
    """Bring published weights into the form that a model reads."""


@convert.command(examples=("bench models convert sd2 stable-diffusion-2-1 diffews-start",))
@argument("source", "Stable Diffusion 2.x in diffusers' folders.", type=PATH)
@argument("target", "A folder that does not exist yet.", type=PATH)
def sd2(source: Path, target: Path) -> None:
    """Make an untrained DiffewS from Stable Diffusion 2.

    The U-Net gets a second input convolution for the support's image and mask, made from its
    first; training starts from the result.
    """
    from models.methods.diffews.convert import convert_sd2

    convert_sd2(source, target)
    click.echo(f"wrote {target}")


@convert.command(examples=("bench models convert half diffews/best diffews-half",))
@argument("source", "A DiffewS in the released layout.", type=PATH)
@argument("target", "A folder that does not exist yet.", type=PATH)
def half(source: Path, target: Path) -> None:
    """Store a DiffewS in half precision.

    Its files take half the room; what is loaded in full precision computes in it.
    """
    from models.methods.diffews.convert import convert_half

    convert_half(source, target)
    click.echo(f"wrote {target}")
