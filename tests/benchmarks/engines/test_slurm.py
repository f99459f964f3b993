"""The batch files run, with stand-ins for what a cluster has; mistakes are found beforehand."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import yaml

from benchmarks.cli import main
from benchmarks.engines.runner import run_matrix
from benchmarks.engines.slurm import Job, array_job, ray_job
from benchmarks.results.records import read_record
from benchmarks.results.store import find_runs
from tests.benchmarks.evaluation.test_evaluator import Quiet, areas_of
from tests.tiny import tiny_config, tiny_dataset

TOLD = "#!/bin/sh\necho $OMP_NUM_THREADS $SRUN_CPUS_PER_TASK $*\n"


def execute(folder: Path, script: str, stubs: Mapping[str, str]) -> "subprocess.CompletedProcess":
    """Run a batch file where these are the commands of the cluster."""
    for name, text in stubs.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{folder}:{os.environ['PATH']}",
        "SLURM_SUBMIT_DIR": str(folder),
        "SLURM_ARRAY_TASK_ID": "1",
        "SLURM_JOB_ID": "17",
        "SLURM_JOB_NODELIST": "node[1-2]",
    }
    return subprocess.run(
        ["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=60
    )


def bench(*arguments: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert not ended.value.code


@pytest.mark.parametrize(("gpus", "cpus", "threads"), [(4, 16, 4), (1, 8, 8), (0, 6, 6), (8, 4, 1)])
def test_the_workers_of_a_task_share_its_processors(
    tmp_path: Path, gpus: int, cpus: int, threads: int
) -> None:
    script = array_job(Job(gpus=gpus, cpus=cpus), 2, [])
    assert execute(tmp_path, script, {"bench": TOLD}).stdout.startswith(f"{threads} ")


def test_a_ray_job_gives_its_steps_the_processors_and_runs_when_the_head_is_up(
    tmp_path: Path,
) -> None:
    srun = "#!/bin/sh\necho $SRUN_CPUS_PER_TASK >> steps; touch up\n"
    srun += "until test -e ran; do sleep 1; done\n"
    stubs = {"scontrol": "#!/bin/sh\nseq -f node%g 1 99999\n", "srun": srun}
    stubs |= {"ray": "#!/bin/sh\ntest -e up\n", "sleep": "#!/bin/sh\nexec /bin/sleep 0.1\n"}
    stubs |= {"bench": f"{TOLD}touch ran\n"}
    done = execute(tmp_path, ray_job(Job(gpus=4, cpus=16), 2, ["--limit", "3"]), stubs)
    assert done.returncode == 0, done.stderr
    own = "run --limit 3 --engine ray --workers 8 --device cuda --address node1:20017"
    assert own in done.stdout
    assert (tmp_path / "steps").read_text().split() == ["16", "16"]


@pytest.mark.parametrize("srun", ["exit 1", "exec /bin/sleep 0.5"], ids=["it ends", "it hangs"])
def test_a_head_that_does_not_come_up_ends_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, srun: str
) -> None:
    monkeypatch.setattr("benchmarks.engines.slurm._TRIES", 3)
    stubs = {"scontrol": "#!/bin/sh\necho node1\n", "srun": f"#!/bin/sh\n{srun}\n", "bench": TOLD}
    stubs |= {"ray": "#!/bin/sh\nexit 1\n", "sleep": "#!/bin/sh\nexec /bin/sleep 0.1\n"}
    done = execute(tmp_path, ray_job(Job(), 1, []), stubs)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: the head of Ray is not up on node1\n"


def test_fresh_is_refused_for_a_job_that_is_queued_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["submit", "--slurm", "--shards", "2", "--out", "-", "--", "--fresh"])
    assert ended.value.code == 2
    assert "with --fresh a job that Slurm queues again would begin anew" in capsys.readouterr().err


def test_the_batch_file_of_an_array_runs_every_shard(tmp_path: Path) -> None:
    """By hand what Slurm does: the file, once with each task's number."""
    tiny_dataset(tmp_path / "data")
    results, script = tmp_path / "results", tmp_path / "bench.sbatch"
    options = ["--data-root", str(tmp_path / "data"), "--results-root", str(results), "--quiet"]
    options += ["--datasets", "tiny", "--shots", "1", "--limit", "30", "--folds", "0"]
    options += ["--model-from", "tests.tiny:ColourModel", "--name", "colour"]
    bench("submit", "--slurm", "--shards", "2", "--gpus", "0", "--out", str(script), "--", *options)
    assert "#SBATCH --array=1-2" in script.read_text()
    stub = tmp_path / "bin" / "bench"
    stub.parent.mkdir()
    stub.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    stub.chmod(0o755)
    for task in ("1", "2"):
        environment = {
            **os.environ,
            "PATH": f"{stub.parent}:{os.environ['PATH']}",
            "SLURM_ARRAY_TASK_ID": task,
            "SLURM_SUBMIT_DIR": str(tmp_path),
        }
        done = subprocess.run(
            ["bash", str(script)], env=environment, capture_output=True, text=True, check=True
        )
        arguments = json.loads(done.stdout)
        assert arguments[-2:] == ["--shard", f"{task}/2"]
        bench(*arguments)
    bench("merge", "--results-root", str(results))
    (key,) = find_runs(results)
    alone = tiny_config(
        tmp_path,
        results_root=tmp_path / "alone",
        limit=30,
        datasets=[{"name": "tiny", "shots": [1], "folds": [0]}],
        models=[{"name": key.model, "model": "tests.tiny:ColourModel"}],
    )
    outcome = run_matrix(alone, listener=Quiet())[0]
    assert areas_of(results, key) == areas_of(alone.results_root, outcome.key)
    assert read_record(key.folder(results) / "run.json").workers == 2
    assert np.sum(areas_of(results, key)) > 0


def test_batch_files_are_shell_whatever_the_options_are(tmp_path: Path) -> None:
    odd = ["--option", "prompt=it's $HOME; `ls`"]
    job = Job("b", gpus=2, memory="64G", directives=["--account=me"], setup=["module load cuda"])
    for text in (array_job(job, 4, odd), ray_job(job, 3, odd), ray_job(job, 1, [])):
        done = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True)
        assert done.returncode == 0, done.stderr
        assert text.startswith("#!/bin/bash\n#SBATCH ")
        assert "#SBATCH --account=me\n" in text and "\nmodule load cuda\n" in text
    assert "'prompt=it'\"'\"'s $HOME; `ls`'" in array_job(job, 4, odd)
    assert "--engine ray --workers 6 " in ray_job(job, 3, odd)
    assert "--workers 2 --device cuda" in array_job(job, 4, odd)


@pytest.mark.parametrize(("gpus", "device"), [(0, "cpu"), (1, "cuda"), (4, "cuda")])
def test_a_job_uses_what_it_asks_for_whatever_bench_yaml_says(
    gpus: int,
    device: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    file = "engine: ray\naddress: auto\nworkers: 3\ndevice: cuda:1\n"
    Path("bench.yaml").write_text(file + "datasets: [shapes]\nmodels: [prototype]\n")
    for spread in ("--shards", "--ray"):
        bench("submit", "--slurm", spread, "2", "--gpus", str(gpus), "--cpus", "8", "--out", "b")
        (line,) = [line for line in Path("b").read_text().splitlines() if "bench run" in line]
        capsys.readouterr()
        bench(*shlex.split(line.removeprefix("exec "))[1:], "--show-config")
        shown = yaml.safe_load(capsys.readouterr().out)
        assert shown["device"] == device
        if spread == "--shards":
            assert (shown["engine"], shown["workers"]) == ("local", max(1, gpus))
            assert "address" not in shown
        else:
            assert (shown["engine"], shown["workers"]) == ("ray", 2 * (gpus or 8))
            assert shown["address"] == "$address"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--slurm"], "say --shards N"),
        (["--slurm", "--shards", "2", "--ray", "2"], "say --shards N"),
        (["--slurm", "--shards", "2", "--", "--shard", "1/2"], "--shard is for bench submit"),
        (["--slurm", "--shards", "2", "--", "--modles", "all"], "No such option"),
        (["--slurm", "--shards", "2", "--", "--name"], "Option '--name' requires an argument"),
        (["--slurm", "--shards", "2", "--", "--models", "nosuch"], "unknown model 'nosuch'"),
        (["--slurm", "--ray", "2", "--", "-d", "nods", "-p", "nop"], "unknown protocol 'nop'"),
        (["--slurm", "--ray", "2", "--", "--batch-size", "many"], "--batch-size: "),
        (["--slurm", "--shards", "2", "--", "-c", "no.yaml"], "cannot read no.yaml"),
        (["--slurm", "--shards", "2", "--", "--dry-run"], "with --dry-run a job measures nothing"),
        (["--slurm", "--shards", "2", "--", "--show-config"], "with --show-config a job measures"),
        (["--slurm", "--shards", "2", "--", "--help"], "with --help a job measures nothing"),
        (["--slurm", "--shards", "2", "--", "-h"], "with -h a job measures nothing"),
    ],
)
def test_mistakes_are_found_before_the_queue(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["submit", "--out", "-", *arguments])
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert said in err


def test_what_bench_yaml_says_is_checked_before_the_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bench.yaml").write_text("models: [nosuch]\n")
    with pytest.raises(SystemExit) as ended:
        main(["submit", "--slurm", "--shards", "2"])
    assert ended.value.code == 2 and not Path("bench.sbatch").exists()
    assert "bench.yaml, line 1: models[0].name: unknown model" in capsys.readouterr().err
