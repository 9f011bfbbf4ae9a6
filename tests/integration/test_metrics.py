"""A real Prometheus, with the rules that are shipped, scrapes a real worker."""

import contextlib
import json
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.embedded.process import Child, free_port
from pipeline.metrics import Metrics
from tests.dashboards import prometheus_queries
from tests.needs import need
from tests.systems import Running

PROMETHEUS = Path(__file__).parents[2] / "deploy" / "prometheus"
TOKEN = "a-token-of-this-test"


@pytest.fixture(scope="module")
def metrics_port() -> int:
    """Of the collector, whose metrics are not on the port that the world sends events to."""
    return free_port()


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory, metrics_port: int) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("scraped")
    environ = {"CX_WEB__TOKEN": TOKEN, "CX_COLLECTOR__METRICS_PORT": str(metrics_port)}
    system = Running.start(folder, "--simulate", "20", "--history", "40", environ=environ)
    try:
        send_to_the_collector(system.addresses["collector"])
        yield system
    finally:
        system.stop()


def send_to_the_collector(address: str) -> None:
    """One event as it should be, one that came much too late, and one that cannot be mapped."""
    product = {"product_id": "mug", "price": 9.5, "quantity": 1}
    events = [
        {"event": "Product Added", "properties": product},
        {"event": "Product Added", "properties": product, "timestamp": "2020-01-01T00:00:00Z"},
        {"event": "Order Completed", "properties": {"order_id": 7, "total": "much"}},
    ]
    same = {"type": "track", "anonymousId": "somebody"}
    batch = {"batch": [same | one | {"messageId": f"m-{n}"} for n, one in enumerate(events)], "writeKey": "demo"}
    request = urllib.request.Request(f"{address}/web/v1/batch", json.dumps(batch).encode())
    for _ in range(20):
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                assert answer.status == 200
        except urllib.error.HTTPError as refused:
            if refused.code != 503:  # the shop's history takes the broker's time: it is to come again
                raise
            time.sleep(1)
        else:
            return
    raise AssertionError("the collector takes nothing")


@pytest.fixture(scope="module")
def prometheus(worker: Running, metrics_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The shipped configuration, but for where the worker is and how often it is asked."""
    need(shutil.which("prometheus"), "prometheus is not installed (Debian's package has the same name)")
    folder, port = tmp_path_factory.mktemp("prometheus"), free_port()
    configuration = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    configuration["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    configuration["rule_files"] = [str(PROMETHEUS / "rules.yml")]
    del configuration["alerting"]
    targets = {
        "cx-signals": worker.addresses["web"].removeprefix("http://"),
        "cx-collector": f"127.0.0.1:{metrics_port}",
    }
    for job in configuration["scrape_configs"]:
        del job["dns_sd_configs"]
        job["static_configs"] = [{"targets": [targets.pop(job["job_name"])]}]
        if job["job_name"] == "cx-signals":
            job["authorization"] = {"credentials": TOKEN}
    assert not targets
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
    ]
    child = Child("prometheus", [*command, f"--web.listen-address=127.0.0.1:{port}"], folder / "log")
    try:
        url = f"http://127.0.0.1:{port}"
        child.wait_until(lambda: is_ready(url), timeout_s=30)
        yield url
    finally:
        child.stop()


def is_ready(url: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/-/ready", timeout=1) as answer:
        return bool(answer.status == 200)
    return False


def ask(url: str, path: str, **values: str) -> Any:
    with urllib.request.urlopen(f"{url}/api/v1/{path}?{urllib.parse.urlencode(values)}", timeout=10) as answer:
        return json.load(answer)["data"]


def until(url: str, query: str) -> list[dict[str, Any]]:
    deadline = time.monotonic() + 120  # a first row comes when history is worked off, and a window is over
    while not (found := ask(url, "query", query=query)["result"]):
        assert time.monotonic() < deadline, f"{query}: {ask(url, 'targets')['activeTargets']}"
        time.sleep(0.3)
    return list(found)


def test_prometheus_gets_every_metric_with_its_kind_and_labels(prometheus: str) -> None:
    assert until(prometheus, 'up{job="cx-signals"} == 1')
    until(prometheus, "cx_sink_rows_total > 0")
    until(prometheus, "cx_signal_latency_seconds_count > 0")
    until(prometheus, "cx_checkpoint_timestamp_seconds > 0")
    kinds = {name: found[0]["type"] for name, found in ask(prometheus, "metadata").items()}
    for one in Metrics().described:
        name = one.name.removesuffix("_total") if one.name not in kinds else one.name
        assert kinds[name] == one.kind
    series = ask(prometheus, "series", **{"match[]": '{__name__=~"cx_.+"}'})
    labels = {one["__name__"]: set(one) - {"__name__", "instance", "job", "le"} for one in series}
    for one in Metrics().described:
        name = f"{one.name}_count" if one.kind == "histogram" else one.name
        assert labels.get(name, set(one.labels)) == set(one.labels)
    accepted = until(prometheus, 'sum(cx_events_total{outcome="accepted"}) > 1000')
    assert len(accepted) == 1


def test_the_shipped_rules_hold_over_a_worker_that_is_well(prometheus: str) -> None:
    until(prometheus, "cx:signal_latency_seconds:p99 >= 0")
    groups = ask(prometheus, "rules")["groups"]
    assert {rule["health"] for group in groups for rule in group["rules"]} <= {"ok", "unknown"}
    recorded = {rule["name"] for group in groups for rule in group["rules"] if rule["type"] == "recording"}
    for name in recorded:
        until(prometheus, name)
    assert [one for one in ask(prometheus, "alerts")["alerts"] if one["state"] == "firing"] == []


@pytest.mark.parametrize("name", prometheus_queries())
def test_every_panel_of_the_pipelines_health_has_something_to_show(prometheus: str, name: str) -> None:
    expression = prometheus_queries()[name]
    if "sink_errors" in expression:  # a pipeline that is well has none, and no series
        assert ask(prometheus, "query", query=expression)["resultType"] == "vector"
    else:
        assert until(prometheus, expression)


def test_without_the_token_only_health_is_told(worker: Running) -> None:
    def status(path: str, token: str | None = None) -> int:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(worker.addresses["web"] + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    assert status("/healthz") == status("/readyz") == 200
    assert status("/") == status("/console/js/main.js") == 200  # the page, without anything in it
    assert status("/metrics") == status("/api/v1/signals") == status("/metrics", "another") == 401
    assert status("/metrics", TOKEN) == 200
