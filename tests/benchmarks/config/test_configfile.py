"""`bench.yaml`: what is refused, and that the message says where."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.config.file import check_name, expand, load_config, read_config, to_yaml
from benchmarks.config.overrides import Overrides, apply
from benchmarks.config.schema import BenchConfig, CacheConfig, DatasetConfig, ModelConfig
from benchmarks.errors import BenchError
from models.catalog import GROUPS, MODELS


def write(text: str, name: str = "bench.yaml") -> Path:
    path = Path(name)
    path.write_text(text, encoding="utf-8")
    return path


def complaint(text: str) -> str:
    with pytest.raises(BenchError) as caught:
        read_config(write(text))
    return str(caught.value)


def test_a_whole_file_is_read() -> None:
    config = read_config(
        write(
            "data_root: /big\n"
            "batch_size: 4\n"
            "cache: {host: 2GB}\n"
            "datasets:\n"
            "  - {name: pascal, protocol: hsnet, folds: [0, 2], shots: [1]}\n"
            "  - shapes\n"
            "models:\n"
            "  - prototype\n"
            "  - {name: mine, model: my.py:Net, options: {layers: 3}}\n"
        )
    )
    assert config.data_root == Path("/big")
    assert config.cache == CacheConfig(host=2 * 10**9)
    assert config.datasets == (
        DatasetConfig(name="pascal", protocol="hsnet", folds=(0, 2), shots=(1,)),
        DatasetConfig(name="shapes"),
    )
    assert config.models == (
        ModelConfig(name="prototype"),
        ModelConfig(name="mine", model="my.py:Net", options={"layers": 3}),
    )


def test_an_empty_file_holds_the_defaults() -> None:
    assert read_config(write("# nothing\n")) == BenchConfig()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "device: cpu\nresult_root: x\n",
            "bench.yaml, line 2: result_root: unknown key 'result_root'; did you mean results_root",
        ),
        (
            "datasets:\n  - name: shapes\n    shot: [1]\n",
            "bench.yaml, line 3: datasets[0].shot: unknown key 'shot'; did you mean shots?",
        ),
        (
            "cache:\n  hosts: 1GB\n",
            "bench.yaml, line 2: cache.hosts: unknown key 'hosts'; did you mean host?",
        ),
        (
            "cache: {host: lots}\n",
            "bench.yaml, line 1: cache.host: 'lots' is not a size such as 512MiB or 2GB",
        ),
        (
            "datasets:\n  - shapes\n  - protocol: hsnet\n",
            "bench.yaml, line 3: datasets[1].name: Field required",
        ),
        (
            "datasets:\n  - name: shapes\n    shots:\n      - 1\n      - 0\n",
            "bench.yaml, line 5: datasets[0].shots[1]: Input should be greater than 0",
        ),
        (
            "datasets:\n  - name: shapes\n    folds: []\n",
            "bench.yaml, line 3: datasets[0].folds: Tuple should have at least 1 item",
        ),
        (
            "datasets:\n  - name: shapes\n    protocol: hsnett\n",
            "bench.yaml, line 3: datasets[0].protocol: unknown protocol 'hsnett'; "
            "did you mean hsnet or hsnet@518 or hsnet@512?",
        ),
        (
            "models:\n  - prototype\n  - dense-mm\n",
            "bench.yaml, line 3: models[1].name: unknown model 'dense-mm'; did you mean dense-nn",
        ),
        (
            "models:\n  - {name: a, model: prototyp}\n",
            "bench.yaml, line 2: models[0].model: unknown model 'prototyp'; did you mean prototype",
        ),
        ("a: 1\nb: [1, 2\n", "bench.yaml, line 3: this is not YAML"),
        (
            "device: cpu\nlimit: 3\ndevice: cuda\n",
            "bench.yaml, line 3: device: this key stands in line 1 already",
        ),
        ("- shapes\n", "bench.yaml, line 1: the file: Input should be a valid dictionary"),
        ("metrics: [[boundary]]\n", "bench.yaml, line 1: metrics[0]: Input should be 'boundary'"),
        ("metrics: [1, boundary]\n", "bench.yaml, line 1: metrics[0]: Input should be 'boundary'"),
        (
            "models:\n  - {name: all, options: {size: 224}}\n",
            "bench.yaml, line 2: models[0].options: `all` takes none; name the models that",
        ),
        (
            "models:\n  - name: all\n    trained_on: coco\n",
            "bench.yaml, line 3: models[0].trained_on: `all` takes none; name the models that",
        ),
        ("batch_size: many\n", "bench.yaml, line 1: batch_size: Input should be a valid integer"),
        (
            "device: cpu\ndata_root: ~no.such.user/data\n",
            "bench.yaml, line 2: data_root: there is no home folder for ~no.such.user; write",
        ),
    ],
)
def test_errors_name_file_line_and_key(text: str, said: str) -> None:
    assert complaint(text).startswith(said)


def test_all_errors_are_named_at_once() -> None:
    lines = complaint("devices: cpu\nlimit: -1\n").splitlines()
    assert [line.split(":")[0] for line in lines] == ["bench.yaml, line 2", "bench.yaml, line 1"]


def test_python_objects_are_not_made_from_yaml() -> None:
    assert "not YAML" in complaint("device: !!python/object/apply:os.getcwd []\n")


@pytest.mark.parametrize(
    "text",
    ["datasets: &x [*x]\n", "models: &x {name: *x}\n", "cache: &x [*x, *x]\n", 5000 * "["],
    ids=["list", "mapping", "twice", "deep"],
)
def test_what_is_nested_without_end_is_refused(text: str) -> None:
    said = complaint(text)
    assert said.startswith("bench.yaml: this is nested too deep, or an alias")
    assert "\n" not in said


def test_a_missing_file_is_named() -> None:
    with pytest.raises(BenchError, match=r"cannot read no\.yaml: No such file"):
        load_config(Path("no.yaml"))


def test_groups_are_replaced_by_their_members() -> None:
    names = [model.name for model in expand((ModelConfig(name="floors"),))]
    assert names == list(GROUPS["floors"])
    every = {model.target: model for model in expand((ModelConfig(name="all"),))}
    assert list(every) == list(MODELS)
    assert every["hsnet"].name == "hsnet-random"
    assert every["hsnet"].options == {"random": "tiny"}
    assert every["prototype"] == ModelConfig(name="prototype")


def test_a_model_named_twice_counts_once_but_not_with_other_options() -> None:
    same = (ModelConfig(name="random"), ModelConfig(name="floors"))
    assert len(expand(same)) == len(GROUPS["floors"])
    with pytest.raises(BenchError, match="two models would keep their results as 'random'"):
        expand((*same, ModelConfig(name="random", options={"seed": 1})))


def test_an_own_model_without_a_name_gets_one() -> None:
    specs = ("pkg.mod:Net", "here/mine.py", "here/mine.py:Other")
    named = expand(tuple(ModelConfig(name=spec) for spec in specs))
    assert [(m.name, m.model) for m in named] == list(
        zip(("Net", "mine", "Other"), specs, strict=True)
    )


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "", "a b"])
def test_names_that_are_no_folder_names_are_refused(name: str) -> None:
    with pytest.raises(BenchError, match="cannot name a result"):
        check_name(name)


NAMES = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=("C", "Zl", "Zp")), max_size=5)
CONFIGS = st.builds(
    BenchConfig,
    data_root=NAMES.map(Path),
    limit=st.none() | st.integers(1, 10**6),
    batch_size=st.just("auto") | st.integers(1, 64),
    dtype=st.sampled_from(["fp32", "bf16"]),
    cache=st.builds(CacheConfig, device=st.integers(0, 2**40), host=st.integers(0, 2**40)),
    datasets=st.lists(
        st.builds(
            DatasetConfig,
            name=NAMES | st.sampled_from(["on", "123", "1e3", "null"]),
            folds=st.none() | st.lists(st.integers(0, 9), min_size=1).map(tuple),
            shots=st.lists(st.integers(1, 9), min_size=1).map(tuple),
        ),
        max_size=3,
    ).map(tuple),
    models=st.lists(
        st.builds(
            ModelConfig,
            name=NAMES,
            model=st.just("prototype"),
            options=st.dictionaries(NAMES, st.booleans() | st.integers() | TEXTS),
        ),
        max_size=3,
        unique_by=lambda model: model.name,
    ).map(tuple),
)


@settings(deadline=None, max_examples=50)
@given(CONFIGS)
def test_what_show_config_prints_reads_back_equal(config: BenchConfig) -> None:
    assert read_config(write(to_yaml(config), "round.yaml")) == config


BASE = BenchConfig(
    datasets=(DatasetConfig(name="pascal", protocol="hsnet", shots=(1,)),),
    models=(
        ModelConfig(name="prototype", options={"backbone": "resnet50"}),
        ModelConfig(name="random"),
    ),
)


def test_chosen_datasets_keep_what_the_file_says_of_them() -> None:
    changed = apply(BASE, Overrides(datasets=("shapes", "pascal")))
    assert changed.datasets == (DatasetConfig(name="shapes"), BASE.datasets[0])
    shots = apply(BASE, Overrides(datasets=("pascal",), shots=(5,), folds=(3,)))
    assert shots.datasets == (
        DatasetConfig(name="pascal", protocol="hsnet", shots=(5,), folds=(3,)),
    )


CDFSS = ("fss1000", "isic2018", "chestxray", "deepglobe")


def test_a_group_of_datasets_opens_in_the_file() -> None:
    text = "datasets:\n  - shapes\n  - {name: cdfss, protocol: hsnet, shots: [1]}\n"
    assert read_config(write(text)).datasets == (
        DatasetConfig(name="shapes"),
        *(DatasetConfig(name=name, protocol="hsnet", shots=(1,)) for name in CDFSS),
    )


def test_a_group_of_datasets_opens_on_the_command_line_and_keeps_what_the_file_says() -> None:
    config = BenchConfig(datasets=(DatasetConfig(name="isic2018", shots=(2,)),))
    changed = apply(config, Overrides(datasets=("cdfss", "fss1000"), protocol="hsnet"))
    assert [(d.name, d.protocol, d.shots) for d in changed.datasets] == [
        ("fss1000", "hsnet", (1, 5)),
        ("isic2018", "hsnet", (2,)),
        ("chestxray", "hsnet", (1, 5)),
        ("deepglobe", "hsnet", (1, 5)),
    ]


def test_a_clusters_address_in_the_file_goes_with_ray_alone() -> None:
    config = BenchConfig(engine="ray", address="auto")
    assert apply(config, Overrides(fields={"engine": "ray"})).address == "auto"
    assert apply(config, Overrides(fields={"engine": "local"})).address is None
    with pytest.raises(BenchError, match="--address: only the ray engine has an address"):
        apply(config, Overrides(fields={"engine": "local", "address": "auto"}))


def test_entries_that_become_equal_run_once() -> None:
    twice = BenchConfig(
        datasets=(DatasetConfig(name="a", shots=(1,)), DatasetConfig(name="a", shots=(5,)))
    )
    assert len(apply(twice, Overrides(shots=(2,))).datasets) == 1
    assert len(apply(twice, Overrides()).datasets) == 2


def test_a_fold_or_a_number_of_shots_counts_once() -> None:
    twice = DatasetConfig(name="a", folds=(0, 0, 1), shots=(5, 1, 5))
    assert (twice.folds, twice.shots) == ((0, 1), (5, 1))
    assert apply(BASE, Overrides(folds=(2, 2))).datasets[0].folds == (2,)


def test_chosen_models_keep_their_options_and_groups_open() -> None:
    changed = apply(BASE, Overrides(models=("floors", "prototype")))
    assert [m.name for m in changed.models] == [*GROUPS["floors"], "prototype"]
    assert changed.models[-1] == BASE.models[0]


def test_an_own_model_replaces_or_joins() -> None:
    alone = apply(BASE, Overrides(model_from="my.py:Net"))
    assert [(m.name, m.target) for m in alone.models] == [("Net", "my.py:Net")]
    named = apply(BASE, Overrides(model_from="my.py:Net", name="best"))
    assert [(m.name, m.target) for m in named.models] == [("best", "my.py:Net")]
    both = apply(BASE, Overrides(models=("random",), model_from="my.py:Net"))
    assert [m.name for m in both.models] == ["random", "Net"]


def test_the_name_of_another_model_is_refused() -> None:
    said = "all-foreground cannot keep its results as 'random', which is another model"
    assert complaint("models:\n  - {name: random, model: all-foreground}\n").startswith(said)
    with pytest.raises(BenchError, match=said):
        apply(BASE, Overrides(models=("all-foreground",), name="random"))
    with pytest.raises(BenchError, match=r"prototype\.py cannot keep its results as 'prototype'"):
        apply(BASE, Overrides(model_from="prototype.py"))


def test_metrics_are_sorted_and_counted_once() -> None:
    assert read_config(write("metrics: [boundary, boundary]\n")).metrics == ("boundary",)
    assert read_config(write("metrics: boundary\n")).metrics == ("boundary",)


def test_one_name_for_two_models_is_refused() -> None:
    with pytest.raises(BenchError, match="--name needs exactly one model, there are 2"):
        apply(BASE, Overrides(name="best"))


def test_options_reach_every_model_that_has_them() -> None:
    own = apply(BASE, Overrides(model_from="x:Y", options=("a=1", "b=[1, two]", "c=", "d=true")))
    assert own.models[0].options == {"a": 1, "b": [1, "two"], "c": "", "d": True}
    two = Overrides(models=("prototype",), model_from="x:Y", options=("Y.depth=2",))
    assert [dict(m.options) for m in apply(BASE, two).models] == [
        {"backbone": "resnet50"},
        {"depth": 2},
    ]


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("backbone", "expected KEY=VALUE"),
        ("nobody.x=1", "none of the chosen models is called 'nobody'"),
        ("x=[1", "not a YAML value"),
    ],
)
def test_wrong_options_are_refused(option: str, said: str) -> None:
    with pytest.raises(BenchError, match=said):
        apply(BASE, Overrides(model_from="x:Y", options=(option,)))
    with pytest.raises(BenchError, match="unknown option 'bakbone'; did you mean backbone"):
        apply(BASE, Overrides(models=("prototype",), options=("bakbone=resnet50",)))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (Overrides(models=("prototyp",)), "unknown model 'prototyp'; did you mean prototype"),
        (Overrides(protocol="hsnt"), "unknown protocol 'hsnt'; did you mean hsnet"),
        (Overrides(cache_size="much"), "--cache-size: 'much' is not a size"),
        (Overrides(cache_size="inf"), "--cache-size: 'inf' is not a size"),
        (Overrides(fields={"batch_size": "x"}), "--batch-size: Input should be a valid integer"),
    ],
)
def test_wrong_values_of_the_command_line_are_named(overrides: Overrides, said: str) -> None:
    with pytest.raises(BenchError, match=said):
        apply(BASE, overrides)


def test_the_default_file_of_the_repository_is_valid() -> None:
    config = read_config(Path(__file__).parents[3] / "bench.yaml")
    assert [d.name for d in config.datasets] == ["shapes"]
    assert {"prototype", "dense-nn", *GROUPS["floors"]} <= {m.name for m in config.models}
