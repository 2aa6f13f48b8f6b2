"""The manifest, the script and the page for clusters have the settings that the relay looks for."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from strategic_memory_cluster.settings import RECOMMENDED

ROOT = Path(__file__).parents[2]


def test_the_manifest_sets_them_on_all_nodes_alike() -> None:
    manifest = yaml.safe_load((ROOT / "scripts/deploy/ray-cluster.yaml").read_text())
    groups = [manifest["spec"]["headGroupSpec"], *manifest["spec"]["workerGroupSpecs"]]
    assert len(groups) > 1
    for group in groups:
        [container] = group["template"]["spec"]["containers"]
        assert {one["name"]: one["value"] for one in container["env"]} == RECOMMENDED
    assert manifest["spec"]["authOptions"] == {"mode": "token"}


def test_scripts_and_pages_set_them() -> None:
    for name in ("scripts/deploy/ray-cluster.slurm", "docs/clusters-in-practice.md"):
        text = (ROOT / name).read_text()
        found = dict(re.findall(r"^export (RAY_(?:health|grpc)\w+)=(\d+)", text, re.MULTILINE))
        assert found == RECOMMENDED, name
