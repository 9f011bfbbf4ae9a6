"""Alerts into a Slack channel: ``python -m docs.examples.slack_alert``.

``SLACK_WEBHOOK_URL`` is the address of Slack's incoming webhook; without it the messages are printed.
"""

import html
import json
import os
import urllib.request

from pipeline.subscriptions import subscribe
from schemas.alerts import AlertMessage
from schemas.plain import shown

_SIGNS = {"firing": "\N{LARGE RED CIRCLE}", "resolved": "\N{LARGE GREEN CIRCLE}"}


def text(alert: AlertMessage) -> str:
    """One line, as Slack formats it. A store called ``<!channel>`` calls nobody: what is in texts is escaped."""
    told = html.escape(shown(alert.explanation), quote=False)
    return f"{_SIGNS[alert.status]} *{alert.rule}* ({alert.severity}) {told}"


def send(line: str) -> None:
    url = os.environ.get("SLACK_WEBHOOK_URL")
    if url is None:
        print(line, flush=True)
        return
    body = json.dumps({"text": line}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - our own setting
    urllib.request.urlopen(request, timeout=10).close()  # noqa: S310 - the same


def main() -> None:
    servers = os.environ.get("CX_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:9092")
    told: dict[str, str] = {}
    with subscribe(AlertMessage, servers, group="slack-alert") as alerts:
        for alert in alerts:
            # An open alert is told anew whenever its figures change: a channel wants to hear of it twice.
            if alert.status != "pending" and told.get(alert.alert_id) != alert.status:
                if alert.status == "firing" or alert.alert_id in told:
                    send(text(alert))
                told[alert.alert_id] = alert.status


if __name__ == "__main__":
    main()
