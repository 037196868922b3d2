"""The StatefulSet example: its pods run every camera once, each as a box of its own, and as closed as they can be."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from interhuman2mqtt.config import loader as configfile
from interhuman2mqtt.config.urls import listen_address

ROOT = Path(__file__).parents[2]
FILE = ROOT / "config" / "deploy" / "kubernetes" / "statefulset.yaml"
Json = dict[str, Any]


def objects() -> dict[str, Json]:
    """The objects by their kinds."""
    return {found["kind"]: found for found in yaml.safe_load_all(FILE.read_text())}


def pod() -> Json:
    spec: Json = objects()["StatefulSet"]["spec"]["template"]["spec"]
    return spec


def container() -> Json:
    [only] = pod()["containers"]
    found: Json = only
    return found


def test_every_camera_runs_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the pods' own names and the count that they are told, each camera of the file is on exactly one of them."""
    file = tmp_path / "interhuman2mqtt.toml"
    file.write_text(objects()["ConfigMap"]["data"][file.name])
    count = next(variable["value"] for variable in container()["env"] if variable["name"] == "SHARDS")
    replicas, name = objects()["StatefulSet"]["spec"]["replicas"], objects()["StatefulSet"]["metadata"]["name"]
    assert int(count) == replicas
    monkeypatch.setenv("SHARDS", count)
    loaded = []
    for index in range(replicas):
        monkeypatch.setenv("POD_NAME", f"{name}-{index}")
        loaded.append(configfile.load_marked([file], f"{name}-{index}"))
    cameras = [camera for one in loaded for camera in one.config.cameras]
    assert sorted(cameras) == sorted(tomllib.loads(file.read_text())["cameras"])
    assert len({one.config.mqtt.client_id for one in loaded}) == replicas
    assert len({one.files_hash for one in loaded}) == 1


def test_probes_ask_where_the_daemon_listens() -> None:
    """The probes' port is that of `metrics.listen`, reachable from outside the pod."""
    toml = tomllib.loads(objects()["ConfigMap"]["data"]["interhuman2mqtt.toml"])
    host, port = listen_address(toml["metrics"]["listen"])
    assert host == "0.0.0.0"
    [named] = container()["ports"]
    assert (named["name"], named["containerPort"]) == ("metrics", port)
    assert [entry["port"] for entry in objects()["Service"]["spec"]["ports"]] == [port]
    for probe in ("startupProbe", "livenessProbe"):
        assert container()[probe]["httpGet"] == {"path": "/health", "port": "metrics"}


def test_secrets_are_mounted_where_the_file_names_them() -> None:
    """Each secret that the file names is a key of the Secret, under the folder where that is mounted."""
    [mount] = [found for found in container()["volumeMounts"] if found["name"] == "secrets"]
    named = set(re.findall(r'file = "([^"]+)"', objects()["ConfigMap"]["data"]["interhuman2mqtt.toml"]))
    assert named == {f"{mount['mountPath']}/{key}" for key in objects()["Secret"]["stringData"]}
    assert {found["name"] for found in container()["volumeMounts"]} == {
        *(volume["name"] for volume in pod()["volumes"]),
        *(claim["metadata"]["name"] for claim in objects()["StatefulSet"]["spec"]["volumeClaimTemplates"]),
    }


def test_nothing_runs_as_root() -> None:
    """The pod runs as the image's user, writes to its state alone, and holds no capability and no token."""
    assert pod()["securityContext"]["runAsNonRoot"] is True
    assert pod()["securityContext"]["runAsUser"] == 10001
    assert pod()["automountServiceAccountToken"] is False
    assert pod()["terminationGracePeriodSeconds"] > 43
    assert container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"requests", "limits"} == set(container()["resources"])


def test_the_guide_names_what_there_is() -> None:
    """The guide for fleets shows TOML that loads, and names metrics, files and commands that exist."""
    guide = (ROOT / "docs" / "fleet.md").read_text()
    for block in re.findall(r"```toml\n(.*?)```", guide, re.DOTALL):
        assert tomllib.loads(block)
    assert (ROOT / "config" / "deploy" / "kubernetes" / "statefulset.yaml").exists()
    assert "files_hash" in guide
