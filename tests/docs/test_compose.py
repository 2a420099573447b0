"""There is no Docker where the tests run: the files are checked, and what they start is started."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import jsonschema
import psycopg
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pyapp import settings
from pyapp.settings import ROOT
from tests import servers

COMPOSE: Final[dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: Final[dict[str, dict[str, Any]]] = COMPOSE["services"]
OURS: Final = [name for name in SERVICES if name != "db"]
ROLES: Final = ["api", "worker", "operator", "auditor"]  # a service has the name of its role

SECRETS: Final = {  # with the characters that break a URL
    name: f"{name} :/@?#%$'\""
    for name in (
        "POSTGRES_PASSWORD",
        "PAYRAIL_API_PASSWORD",
        "PAYRAIL_WORKER_PASSWORD",
        "PAYRAIL_OPERATOR_PASSWORD",
        "PAYRAIL_AUDITOR_PASSWORD",
    )
}

# The keys of the Compose Specification that we use; a misspelt one is an error.
STRINGS: Final = {"type": "array", "items": {"type": "string"}, "minItems": 1}
DURATION: Final = {"type": "string", "pattern": r"^(\d+h)?(\d+m)?(\d+s)?$", "minLength": 2}
MAP: Final = {"type": "object", "additionalProperties": {"type": "string"}}


def closed(required: tuple[str, ...] = (), **properties: object) -> dict[str, object]:
    return {
        "type": "object",
        "properties": properties,
        "required": [*required],
        "additionalProperties": False,
    }


CONDITION: Final = {
    "enum": ["service_started", "service_healthy", "service_completed_successfully"]
}
HEALTHCHECK: Final = closed(
    ("test", "interval", "timeout", "retries"),
    test={**STRINGS, "prefixItems": [{"enum": ["CMD", "CMD-SHELL"]}]},
    interval=DURATION,
    timeout=DURATION,
    start_period=DURATION,
    retries={"type": "integer", "minimum": 1},
)
SERVICE: Final = closed(
    ("image", "environment"),
    image={"type": "string"},
    build={"type": "string"},
    command=STRINGS,
    environment=MAP,
    ports=STRINGS,
    volumes=STRINGS,
    profiles=STRINGS,
    tmpfs=STRINGS,
    cap_drop=STRINGS,
    security_opt=STRINGS,
    init={"type": "boolean"},
    read_only={"type": "boolean"},
    shm_size={"type": "string", "pattern": r"^\d+[kmg]b?$"},
    restart={"enum": ["no", "always", "on-failure", "unless-stopped"]},
    stop_grace_period=DURATION,
    healthcheck=HEALTHCHECK,
    depends_on={
        "type": "object",
        "propertyNames": {"enum": [*SERVICES]},
        "additionalProperties": closed(("condition",), condition=CONDITION),
    },
)
SCHEMA: Final = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    **closed(
        ("services",),
        name={"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]*$"},
        services={"type": "object", "additionalProperties": SERVICE},
        volumes={"type": "object", "additionalProperties": {"type": ["object", "null"]}},
    ),
    "patternProperties": {"^x-": {}},
}


class Recorder(dict[str, str]):
    """An environment that remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.asked.add(key)
        return super().get(key, default)


def environment(service: str, **more: str) -> dict[str, str]:
    """Return what a container of the service would have, from the image and from Compose."""

    def value(match: re.Match[str]) -> str:
        return SECRETS.get(match["name"], match["default"] or "")

    image = re.findall(r"(\w+)=(\S+)", " ".join(instructions("ENV")))
    given = {
        name: re.sub(r"\$\{(?P<name>\w+)(?::-(?P<default>[^}]*)|:\?[^}]*)\}", value, text)
        for name, text in SERVICES[service]["environment"].items()
    }
    return {"PATH": os.environ["PATH"], **dict(image), **given, **more}


def instructions(name: str) -> list[str]:
    """Return the arguments of all the Dockerfile's instructions of that name, in order."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    return re.findall(rf"^{name} (.*)$", text, re.MULTILINE)


def test_the_file_is_what_compose_expects() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(COMPOSE, SCHEMA)


def test_what_is_laid_over_it_for_several_nodes_is_too() -> None:
    """As Compose merges them: maps key by key, of lists the later one."""
    over = yaml.safe_load((ROOT / "sql" / "scale-out" / "docker-compose.yml").read_text())
    merged = laid_over(COMPOSE, {name: part for name, part in over.items() if name[:2] != "x-"})
    for service in merged["services"].values():
        networks = service.pop("networks", [])
        assert {*networks} <= {"default", *merged["networks"]}
        for name in service.get("depends_on", ()):
            assert name in merged["services"]
    for name in ("api", "worker", "console"):
        waits = merged["services"][name]["depends_on"].pop("distribute")
        assert waits == {"condition": "service_completed_successfully"}
    (mounted,) = merged["services"]["distribute"]["volumes"]
    assert (ROOT / mounted.partition(":")[0]).is_file()
    for name in ("shard-1", "shard-2"):
        del merged["services"]["distribute"]["depends_on"][name]
    assert merged.pop("networks") == {"nodes": {"internal": True}}
    jsonschema.validate(merged, SCHEMA)


def laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    both = {
        name: laid_over(below[name] or {}, part or {})
        for name, part in above.items()
        if isinstance(below.get(name), dict)
    }
    return {**below, **above, **both}


def test_a_misspelt_key_would_be_found() -> None:
    broken = {**COMPOSE, "services": {"api": {**SERVICES["api"], "enviroment": {}}}}
    with pytest.raises(jsonschema.ValidationError, match="enviroment"):
        jsonschema.validate(broken, SCHEMA)


def test_volumes_are_declared_and_the_data_is_on_one() -> None:
    assert SERVICES["db"]["image"] == "postgres:18"
    assert SERVICES["db"]["volumes"] == ["data:/var/lib/postgresql"]
    assert SERVICES["bank"]["volumes"] == ["bank:/bank"]  # the image makes that folder
    assert "install --directory --owner=10001 /bank" in (ROOT / "Dockerfile").read_text()
    assert [*COMPOSE["volumes"]] == ["data", "bank"]


def test_the_database_can_be_initialised() -> None:
    arguments = SERVICES["db"]["environment"]["POSTGRES_INITDB_ARGS"].split()
    with servers.folder() as place, servers.own(place / "home") as server:
        server._own(server.base)
        server._initialise()  # it may have to copy the programs first
        server._run("initdb", "-D", server.base / "composed", "-U", "postgres", *arguments)
        assert (server.base / "composed" / "PG_VERSION").exists()


@pytest.mark.parametrize("service", OURS)
def test_every_variable_is_one_that_we_read(service: str) -> None:
    recorder = Recorder()
    settings.load(recorder)
    libpq = {"PGPASSWORD"}
    assert {*SERVICES[service]["environment"]} <= recorder.asked | libpq


@pytest.mark.parametrize("service", SERVICES)
def test_no_password_has_a_default(service: str) -> None:
    for name, text in SERVICES[service]["environment"].items():
        if name.endswith("PASSWORD"):
            assert re.fullmatch(r"\$\{(\w+PASSWORD):\?set \1\}", text), name
        else:
            assert "PASSWORD" not in text, name


@pytest.mark.parametrize("service", ROLES)
def test_a_service_knows_its_own_password_only(service: str) -> None:
    known = {name for name in SERVICES[service]["environment"] if "PASSWORD" in name}
    assert known == {f"PAYRAIL_{service.upper()}_PASSWORD"}


def test_only_the_console_and_the_command_line_can_become_an_operator() -> None:
    having = {
        name
        for name, service in SERVICES.items()
        if "PAYRAIL_OPERATOR_PASSWORD" in service["environment"]
    }
    assert having == {"migrate", "console", "operator"}
    served = {name for name, service in SERVICES.items() if "CONSOLE" in service["environment"]}
    assert served == {"console"}


def test_nothing_serves_before_the_database_is_migrated() -> None:
    healthy = {"condition": "service_healthy"}
    migrated = {"condition": "service_completed_successfully"}
    assert SERVICES["migrate"]["depends_on"] == {"db": healthy}
    assert "restart" not in SERVICES["migrate"]
    for service in ("api", "console", "worker"):
        assert SERVICES[service]["depends_on"] == {"db": healthy, "migrate": migrated}
        assert SERVICES[service]["restart"] == "unless-stopped"


def test_only_what_serves_can_be_reached_and_only_from_this_machine() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {
        "api": ["127.0.0.1:${PORT:-8000}:8000"],
        "console": ["127.0.0.1:${CONSOLE_PORT:-8001}:8000"],
    }


@pytest.mark.parametrize("service", OURS)
def test_a_container_can_do_little(service: str) -> None:
    found = SERVICES[service]
    assert found["read_only"]
    assert found["cap_drop"] == ["ALL"]
    assert found["security_opt"] == ["no-new-privileges:true"]


def test_the_image_does_not_run_as_root() -> None:
    assert instructions("USER") == ["10001"]
    lines = (ROOT / "Dockerfile").read_text()
    assert lines.rindex("\nUSER ") > lines.rindex("\nRUN ")
    assert instructions("ENTRYPOINT") == ['["payrail"]']


def test_no_secret_gets_into_the_image_or_into_git() -> None:
    for file in (".dockerignore", ".gitignore"):
        ignored = [line.rstrip("/") for line in (ROOT / file).read_text().splitlines()]
        for name in (".env", ".venv", ".payrail"):
            assert any(fnmatch(name, pattern) for pattern in ignored), (file, name)


def test_the_image_installs_only_what_is_pinned_by_hash() -> None:
    """All that what it needs needs itself, within its bounds, and nothing from elsewhere."""
    lines = (ROOT / "requirements.txt").read_text().replace("\\\n", "").splitlines()
    pins = dict[str, str]()
    for line in lines:
        if line.startswith("#"):
            continue
        pin, *hashes = line.split()
        name, _, version = pin.partition("==")
        pins[canonicalize_name(name)] = version
        assert hashes
        assert all(re.fullmatch("--hash=sha256:[0-9a-f]{64}", one) for one in hashes), line
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [Requirement(text) for text in project["dependencies"]]
    seen = set[tuple[str, str]]()
    while wanted:
        one = wanted.pop()
        assert one.specifier.contains(pins[canonicalize_name(one.name)]), one
        for extra in ("", *one.extras):
            if (one.name, extra) in seen:
                continue
            seen.add((one.name, extra))
            for text in metadata.requires(one.name) or []:
                needed = Requirement(text)
                if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                    wanted.append(needed)
    install, ours, *_ = (step.strip() for step in instructions("RUN")[0].split("&&"))
    assert "--require-hashes --requirement requirements.txt" in install
    assert "--no-deps" in ours


def test_the_image_has_what_it_needs() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    needed = ("pyapp", "sql", "migrations", "pyproject.toml", "requirements.txt", "README.md")
    for name in (*needed, "LICENSE"):
        assert (ROOT / name).exists()
        assert not any(fnmatch(name, pattern.rstrip("/")) for pattern in ignored), name


@pytest.fixture(scope="module")
def composed() -> Iterator[dict[str, str]]:
    """A PostgreSQL that asks for passwords, migrated as the service migrate does it.

    Yields the environment that makes libpq find it under the name `db`.
    """
    with servers.folder() as place:
        hba = place / "hba"
        hba.write_text("local postgres postgres trust\nlocal all all scram-sha-256\n")
        with servers.own(place / "home", "fsync=off", f"hba_file={hba}") as server:
            server.start()
            with psycopg.connect(server.conninfo("postgres"), autocommit=True) as admin:
                admin.execute(
                    psycopg.sql.SQL("ALTER ROLE postgres PASSWORD {}").format(
                        SECRETS["POSTGRES_PASSWORD"]
                    )
                )
            where = str(server.socket_folder)
            subprocess.run(
                [sys.executable, "-m", "pyapp", *SERVICES["migrate"]["command"]],
                cwd=ROOT,
                env=at(where, "migrate"),
                check=True,
                capture_output=True,
            )
            yield {"where": where}


def at(where: str, service: str, **more: str) -> dict[str, str]:
    """Return the service's environment, with the server in folder `where` for the host `db`."""
    found = environment(service, **more)
    url = found["DATABASE_URL"]
    assert url.count("db/") == 1, url
    return {**found, "DATABASE_URL": url.replace("db/", "/") + f"?host={where}"}


def test_what_is_migrated_is_live(composed: dict[str, str]) -> None:
    migrated = settings.load(at(composed["where"], "operator"))
    with psycopg.connect(migrated.conninfo("payrail_operator")) as connection:
        assert connection.execute("SELECT environment FROM payrail.instance").fetchone() == (
            "live",
        )


@pytest.mark.parametrize("service", ROLES)
def test_a_service_is_itself_and_nobody_else(composed: dict[str, str], service: str) -> None:
    found = settings.load(at(composed["where"], service))
    with psycopg.connect(found.conninfo(f"payrail_{service}")) as connection:
        assert connection.info.user == f"payrail_{service}"
    for other in {*ROLES} - {service}:
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(found.conninfo(f"payrail_{other}")).close()


@pytest.fixture
def port() -> Iterator[int]:
    with servers.port() as port:
        yield port


@pytest.mark.parametrize("service", ["api", "console", "worker"])
def test_a_service_starts_gets_healthy_and_stops(
    composed: dict[str, str], service: str, port: int
) -> None:
    env = at(composed["where"], service, PORT=str(port))
    kind, *check = SERVICES[service]["healthcheck"]["test"]
    assert kind == "CMD"
    check = [text.replace(":8000", f":{port}") for text in check]
    assert check[0] == "python"
    with subprocess.Popen(
        [sys.executable, "-m", "pyapp", *SERVICES[service]["command"]],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        deadline = time.monotonic() + 60
        healthy = False
        while not healthy and process.poll() is None and time.monotonic() < deadline:
            asked = subprocess.run(
                [sys.executable, *check[1:]], cwd=ROOT, env=env, check=False, capture_output=True
            )
            healthy = asked.returncode == 0
        process.terminate()
        said = process.communicate(timeout=60)[0]
    assert healthy, said
    assert process.returncode in {0, -15}, said


def test_the_auditor_finds_it_healthy(composed: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pyapp", *SERVICES["auditor"]["command"]],
        cwd=ROOT,
        env=at(composed["where"], "auditor"),
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(" invariants, none broken\n")


def test_the_health_checks_notice_that_the_database_is_away(tmp_path: Path) -> None:
    check = SERVICES["worker"]["healthcheck"]["test"][1:]
    asked = subprocess.run(
        [sys.executable, *check[1:]],
        cwd=ROOT,
        env=at(str(tmp_path), "worker"),
        check=False,
        capture_output=True,
    )
    assert asked.returncode != 0
