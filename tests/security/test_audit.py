"""The audit of dependencies looks at all of them."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def test_every_extra_is_audited() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = (ROOT / ".github/workflows/audit.yml").read_text(encoding="utf-8")
    steps = [step.get("run", "") for step in yaml.safe_load(text)["jobs"]["pip-audit"]["steps"]]
    (extras,) = re.findall(r"^pip install '\.\[(.*)\]'", "\n".join(steps), re.M)
    assert sorted(extras.split(",")) == sorted(project["optional-dependencies"])
    assert any(step.startswith("pip-audit") and "--strict" in step for step in steps)
    assert "download.pytorch.org" not in text
