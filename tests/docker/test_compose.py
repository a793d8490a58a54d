"""compose.yaml: closed, pinned, without a secret, and made of settings that the gateway takes."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from proxy.config import load
from proxy.config.values import Address
from tests.docker.composed import (
    DOCKER,
    ROOT,
    compose,
    environment,
    image_environment,
    initialised,
    instructions,
    services,
)

REPLICAS = ("gateway-1", "gateway-2")
PINNED = re.compile(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}")
SECRET = re.compile(r"password|secret|token|api_?key|master_?key", re.IGNORECASE)

each_service = pytest.mark.parametrize("name", services())


def sources(terms: dict[str, Any]) -> list[str]:
    """Return what *terms* mount from the host; it has no name of a volume."""
    places = [one.split(":")[0] for one in terms.get("volumes", [])]
    return [one for one in places if one not in compose()["volumes"]]


@each_service
def test_a_service_can_write_nowhere_but_where_it_must_and_gains_no_right(name: str) -> None:
    terms = services()[name]

    assert terms["read_only"] is True
    assert terms["cap_drop"] == ["ALL"]
    assert "cap_add" not in terms
    assert terms["security_opt"] == ["no-new-privileges:true"]
    assert not terms.get("privileged")
    assert [one for one in terms.get("volumes", []) if "docker.sock" in one] == []


@each_service
def test_a_service_has_limits_and_its_log_too(name: str) -> None:
    terms = services()[name]

    assert terms["mem_limit"]
    assert terms["pids_limit"] <= 256
    assert terms["logging"] == {
        "driver": "json-file",
        "options": {"max-size": "10m", "max-file": "5"},
    }
    assert terms["restart"] == ("no" if name == "cli" else "unless-stopped")


@each_service
def test_no_service_runs_as_root(name: str) -> None:
    terms = services()[name]
    users = [rest for what, rest in instructions() if what == "USER"]
    user = terms.get("user", users[-1] if "build" in terms else "")

    assert re.fullmatch(r"[1-9]\d*:\d+", user)


@each_service
def test_an_image_is_pinned(name: str) -> None:
    terms = services()[name]
    release = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    if "build" in terms:
        assert terms["image"] == f"northgate:{release['version']}"
    else:
        assert PINNED.fullmatch(terms["image"])


def test_the_image_is_built_on_one_that_is_pinned_and_tells_this_release() -> None:
    arguments = dict(rest.split("=", 1) for name, rest in instructions() if name == "ARG")
    release = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert PINNED.fullmatch(arguments["PYTHON"])
    assert arguments["VERSION"] == release["version"]
    assert {rest.split()[0] for name, rest in instructions() if name == "FROM"} == {"${PYTHON}"}


def test_only_the_balancer_and_grafana_are_published_and_on_the_loopback_interface_alone() -> None:
    published = {name: terms["ports"] for name, terms in services().items() if "ports" in terms}

    assert set(published) == {"balancer", "grafana"}
    for ports in published.values():
        assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", one) for one in ports)


def test_the_database_is_reached_by_gateways_alone() -> None:
    on = {name for name, terms in services().items() if "state" in terms.get("networks", [])}

    assert on == {*REPLICAS, "postgres"}
    assert services()["postgres"]["networks"] == ["state"]
    assert compose()["networks"]["state"] == {"internal": True}
    assert compose()["networks"]["telemetry"] == {"internal": True}


def test_no_file_holds_a_secret_and_every_password_is_read_from_one_that_git_ignores(
    tmp_path: Path,
) -> None:
    for terms in services().values():
        for name, value in terms.get("environment", {}).items():
            if SECRET.search(name):
                assert name.endswith("_FILE"), name
                assert value.startswith("/run/secrets/")
    for path in (*DOCKER.rglob("*.yaml"), *DOCKER.rglob("*.yml"), DOCKER / "Dockerfile"):
        assert not re.search(r"://\w+:[^@/\s]+@", path.read_text(encoding="utf-8")), path

    place = initialised(tmp_path)
    made = [f"docker/{one.relative_to(place)}" for one in (place / "secrets").iterdir()]
    command = ["git", "check-ignore", *made, "docker/.env", "docker/state.backup"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603  fixed

    assert len(made) == 4
    assert done.stdout.splitlines() == command[2:]


@each_service
def test_every_file_that_a_service_names_is_there(tmp_path: Path, name: str) -> None:
    place = initialised(tmp_path)
    terms = services()[name]
    files = [compose()["secrets"][one]["file"] for one in terms.get("secrets", [])]

    for source in (*terms.get("env_file", []), *files):
        assert (place / source).is_file()
    for source in sources(terms):
        assert (DOCKER / source).exists()
        assert all(one.endswith(":ro") for one in terms["volumes"] if one.startswith(source))
    for one in terms.get("networks", []):
        assert one in compose()["networks"]
    for one in terms.get("depends_on", {}):
        assert one in services()


def test_whoever_is_waited_for_can_be_asked_whether_it_is_well() -> None:
    waited = {one for terms in services().values() for one in terms.get("depends_on", {})}
    asked = {name for name, terms in services().items() if "test" in terms.get("healthcheck", {})}
    is_built_in = [name for name, _ in instructions()].count("HEALTHCHECK") == 1

    assert waited - asked == set(REPLICAS)
    assert is_built_in
    assert [name for name in REPLICAS if "healthcheck" in services()[name]] == []
    for terms in services().values():
        for how in terms.get("depends_on", {}).values():
            assert how == {"condition": "service_healthy"}


def test_replicas_differ_in_their_name_and_their_volume_alone() -> None:
    one, two = (services()[name] for name in REPLICAS)

    differing = {key for key in one.keys() | two.keys() if one.get(key) != two.get(key)}

    assert differing == {"hostname", "volumes"}
    assert one["volumes"][1:] == two["volumes"][1:]
    for name, terms in zip(REPLICAS, (one, two), strict=True):
        assert terms["hostname"] == name
        assert terms["volumes"][0] == f"{name}:{image_environment()['NORTHGATE_DATA_DIR']}"


def test_the_gateway_takes_the_variables_that_it_is_given_without_a_word(tmp_path: Path) -> None:
    place = initialised(tmp_path)
    for name in REPLICAS:
        settings = load(place / "northgate.toml", environment(name, place))

        assert settings.warnings == ()
        assert settings.data.listen == Address("0.0.0.0", 8080)  # noqa: S104  in a container
        assert settings.admin.listen == Address("0.0.0.0", 8081)  # noqa: S104  as above
        assert settings.policy.path == Path("/etc/northgate/policies")
        assert settings.database.url.reveal().decode().endswith("@postgres:5432/northgate")
        targets = {one.split(":")[1] for one in services()[name]["volumes"]}
        assert {str(settings.policy.path), str(settings.data_dir)} <= targets


def test_the_gateway_has_longer_to_stop_than_it_gives_its_calls(tmp_path: Path) -> None:
    place = initialised(tmp_path)
    settings = load(None, environment("gateway-1", place))

    grace = int(services()["gateway-1"]["stop_grace_period"].removesuffix("s"))

    assert grace > settings.limits.shutdown_seconds


def test_every_replica_is_scraped_balanced_and_known_by_the_name_it_is_called(
    tmp_path: Path,
) -> None:
    place = initialised(tmp_path)
    settings = load(None, environment("gateway-1", place))
    scraped = re.findall(r"gateway-\d:\d+", (DOCKER / "prometheus/prometheus.yml").read_text())
    balanced = re.findall(r"server (gateway-\d:\d+)", (DOCKER / "nginx/nginx.conf").read_text())

    assert scraped == [f"{name}:8081" for name in REPLICAS]
    assert balanced == [f"{name}:{port}" for port in (8080, 8081) for name in REPLICAS]
    # From beside the balancer, whatever admin_url is.
    assert services()["cli"]["network_mode"] == "service:balancer"
    assert list(settings.admin.allowed_hosts) == [*scraped, "localhost:8081"]
