"""The batch files run, with stand-ins for what a cluster has."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks.cli import main
from benchmarks.slurm import Job, array_job, ray_job

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
    stubs = {"scontrol": "#!/bin/sh\necho node1\necho node2\n", "srun": srun}
    stubs |= {"ray": "#!/bin/sh\ntest -e up\n", "sleep": "#!/bin/sh\nexec /bin/sleep 0.1\n"}
    stubs |= {"bench": f"{TOLD}touch ran\n"}
    done = execute(tmp_path, ray_job(Job(gpus=4, cpus=16), 2, ["--limit", "3"]), stubs)
    assert done.returncode == 0, done.stderr
    assert "run --limit 3 --engine ray --workers 8 --address node1:20017" in done.stdout
    assert (tmp_path / "steps").read_text().split() == ["16", "16"]


@pytest.mark.parametrize("srun", ["exit 1", "exec /bin/sleep 0.5"], ids=["it ends", "it hangs"])
def test_a_head_that_does_not_come_up_ends_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, srun: str
) -> None:
    monkeypatch.setattr("benchmarks.slurm._TRIES", 3)
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
