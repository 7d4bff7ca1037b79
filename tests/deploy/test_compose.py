"""The compose files are YAML and name only what exists: files, services, volumes, settings and commands of ours."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from safeweave.main import parser
from safeweave.settings import Settings

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
FILES = ("compose.yaml", "compose.citus.yaml")


def read(name: str) -> dict[str, Any]:
    found = yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def services(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from read(name)["services"].items()


def runs_our_program(service: dict[str, Any]) -> bool:
    return service.get("image") == "safeweave" and "entrypoint" not in service


def volumes(service: dict[str, Any]) -> list[str]:
    return [mounted.partition(":")[0] for mounted in service.get("volumes", ())]


@pytest.mark.parametrize("name", FILES)
def test_our_commands_can_be_asked_for(name):
    commands = [service["command"] for _, service in services(name) if runs_our_program(service)]
    assert {command[0] for command in commands} >= {"serve", "work", "store"}
    for command in commands:
        assert parser("en").parse_args(command).run


@pytest.mark.parametrize("name", FILES)
def test_our_variables_are_settings(name):
    known = {f"SAFEWEAVE_{field.upper()}" for field in Settings.__dataclass_fields__}
    for service, given in services(name):
        if runs_our_program(given):
            assert set(given.get("environment", ())) <= known, service


@pytest.mark.parametrize("name", FILES)
def test_what_is_waited_for_is_there_and_can_be_waited_for(name):
    every = dict(services(name))
    for service, given in every.items():
        for other, how in given.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in every[other], service
            if how["condition"] == "service_completed_successfully":
                assert every[other].get("restart", "no") in ("no", "on-failure"), f"{other} never ends"


@pytest.mark.parametrize("name", FILES)
def test_volumes_are_declared_and_mounted_files_exist(name):
    declared = set(read(name)["volumes"])
    used = {each for _, service in services(name) for each in volumes(service)}
    assert {each for each in used if not each.startswith(".")} == declared
    assert [each for each in used if each.startswith(".") and not (DEPLOY / each).exists()] == []


@pytest.mark.parametrize("name", FILES)
def test_addresses_name_services(name):
    every = dict(services(name))
    named = {
        host
        for service in every.values()
        for value in (service.get("environment") or {}).values()
        for host in re.findall(r"(?:@|,|http://)(\w+)(?=[:/,])", str(value))
    }
    assert named
    assert named <= set(every)


def test_paths_inside_the_containers_are_those_of_the_mounted_folder():
    folder = DEPLOY / "postgresql"
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    for inside in re.findall(r"/etc/safeweave/([\w.-]+)", text):
        assert (folder / inside).is_file(), inside


@pytest.mark.parametrize("script", ["init-primary.sh", "start-replica.sh"])
def test_scripts_may_be_run(script):
    assert (DEPLOY / "postgresql" / script).stat().st_mode & 0o111


def test_three_workers_work_beside_the_doors():
    for name in FILES:
        assert dict(services(name))["worker"]["deploy"]["replicas"] == 3


def test_the_coordinator_is_told_of_every_node_with_shards():
    every = dict(services("compose.citus.yaml"))
    told = re.findall(r"citus_add_node\('(\w+)'", " ".join(every["nodes"]["command"]))
    assert sorted(told) == sorted(name for name in every if name.startswith("shards"))
    assert set(every["nodes"]["depends_on"]) == {"coordinator", *told}


def test_the_image_is_made_of_what_is_there():
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    sources = [word for line in re.findall(r"^COPY (.+) \S+$", text, re.M) for word in line.split()]
    allowed = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").split()
    assert sources
    for source in sources:
        assert (DEPLOY.parent / source).exists()
        assert f"!{source}" in allowed


@pytest.mark.parametrize("name", [*FILES, "citus.sql"])
def test_what_was_not_run_says_so(name):
    assert re.search(r"\bnot\b", (DEPLOY / name).read_text(encoding="utf-8").split("\nservices:")[0])


@pytest.mark.parametrize("name", [*FILES, "haproxy.cfg", "Dockerfile"])
def test_the_doors_are_where_the_program_opens_them(name):
    text = (DEPLOY / name).read_text(encoding="utf-8")
    assert re.search(rf"\b{Settings.http_port}\b", text)
    assert re.search(rf"\b{Settings.mllp_port}\b", text)
