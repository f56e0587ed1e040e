"""The files in `deploy/` fit the service, the image, and each other."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from storecredit.settings import Settings
from tests.crash.systemd_units import Unit

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = DEPLOY / "compose" / "compose.yaml"
COMMANDS = {("serve", "--no-worker"), ("worker",), ("migrate",)}
MEBIBYTE = 1024 * 1024


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    return document


@pytest.fixture(scope="module")
def ours(compose: dict[str, Any]) -> dict[str, Any]:
    """The services that are processes of storecredit."""
    return {
        name: service
        for name, service in compose["services"].items()
        if service["image"] == "storecredit"
    }


def test_the_image_is_built_from_the_repository(ours: dict[str, Any]) -> None:
    assert len(ours) == 4
    for service in ours.values():
        assert (COMPOSE.parent / service["build"] / "Dockerfile").samefile(ROOT / "Dockerfile")
        assert tuple(service["command"]) in COMMANDS


def test_what_is_set_for_them_are_settings(ours: dict[str, Any]) -> None:
    for service in ours.values():
        names = {name.removeprefix("STORECREDIT_").lower() for name in service["environment"]}
        assert names <= set(Settings.model_fields)


def test_every_volume_is_declared_and_every_file_is_there(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            if source.startswith("."):
                assert (COMPOSE.parent / source).is_file()
            else:
                assert source in compose["volumes"]


def test_results_stand_where_the_image_keeps_them(ours: dict[str, Any]) -> None:
    image = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    [place] = re.findall(r"^VOLUME (\S+)$", image, re.MULTILINE)
    for service in ours.values():
        assert service["volumes"] == [f"storecredit:{place}"]


def test_the_proxy_asks_every_process_of_the_api_on_the_port_of_the_image(
    compose: dict[str, Any], ours: dict[str, Any]
) -> None:
    image = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    [port] = re.findall(r"^EXPOSE (\d+)$", image, re.MULTILINE)
    serving = [name for name, service in ours.items() if service["command"][0] == "serve"]
    asked = compose["services"]["caddy"]["environment"]["STORECREDIT_UPSTREAMS"]
    assert asked.split() == [f"{name}:{port}" for name in serving]


def test_nothing_is_served_before_the_database_is_migrated(ours: dict[str, Any]) -> None:
    for name, service in ours.items():
        [(before, condition)] = service["depends_on"].items()
        wanted = ("postgres", "service_healthy")
        if name != "migrate":
            wanted = ("migrate", "service_completed_successfully")
        assert (before, condition["condition"]) == wanted


def test_idle_connections_are_kept_longer_than_a_proxy_keeps_them(ours: dict[str, Any]) -> None:
    nginx = (DEPLOY / "nginx" / "storecredit.conf").read_text(encoding="utf-8")
    caddy = (DEPLOY / "caddy" / "Caddyfile").read_text(encoding="utf-8")
    [of_nginx] = re.findall(r"^ *keepalive_timeout (\d+)s;", nginx, re.MULTILINE)
    [of_caddy] = re.findall(r"^\s*keepalive (\d+)s$", caddy, re.MULTILINE)
    kept = [
        *(
            service["environment"]["STORECREDIT_CONNECTION_DRAIN_SECONDS"]
            for service in ours.values()
        ),
        *(
            Unit(name).settings["connection_drain_seconds"]
            for name in ("storecredit.service", "storecredit-api@.service")
        ),
    ]
    assert min(map(float, kept)) > max(map(float, (of_nginx, of_caddy)))


def test_a_body_that_the_service_takes_is_handed_on() -> None:
    nginx = (DEPLOY / "nginx" / "storecredit.conf").read_text(encoding="utf-8")
    caddy = (DEPLOY / "caddy" / "Caddyfile").read_text(encoding="utf-8")
    [of_nginx] = re.findall(r"^ *client_max_body_size (\d+)m;", nginx, re.MULTILINE)
    [of_caddy] = re.findall(r"^\s*max_size (\d+)MB$", caddy, re.MULTILINE)
    # Once more than it takes, so that what is too large is refused in the service's own words.
    least = 1.5 * Settings().body_max_bytes
    assert int(of_nginx) * MEBIBYTE > least
    assert int(of_caddy) * 1_000_000 > least
