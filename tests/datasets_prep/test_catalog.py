import importlib
import subprocess
import sys

import pytest

from datasets_prep.catalog import DATASETS, GROUPS


@pytest.mark.parametrize("name", DATASETS)
def test_a_name_leads_to_a_builder_of_that_name(name: str) -> None:
    module, attribute = DATASETS[name].split(":")
    builder = getattr(importlib.import_module(module), attribute)
    assert builder.name == name
    assert builder.summary and builder.version >= 1


def test_groups_hold_datasets_and_have_names_of_their_own() -> None:
    for group, names in GROUPS.items():
        assert group not in DATASETS
        assert set(names) <= set(DATASETS)
        assert len(set(names)) == len(names)


def test_cross_domain_builders_import_nothing_that_decodes_images() -> None:
    modules = [t.partition(":")[0] for t in DATASETS.values() if ".crossdomain." in t]
    assert len(modules) == 4
    heavy = "{'numpy', 'PIL', 'datasets', 'pycocotools', 'scipy', 'torch'}"
    code = f"import sys, {', '.join(modules)}; print(*sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
