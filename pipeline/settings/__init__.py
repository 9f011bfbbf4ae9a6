"""Settings: read once from the environment (prefix ``CX_``, nested with ``__``), then frozen.

A name that is not known or a value that does not fit is an error at the start, in one line. ``services`` and
``shop`` are the groups, ``root`` puts them together and reads them (``environment``, ``config_file``), ``rules``
makes of them what decides the content of states; ``alert_rules`` reads the file of alert rules; ``running`` finds
the stack that ``up`` runs on this machine; ``secrets`` reads secrets from files.
"""

from pipeline.settings.environment import PREFIX, SettingsError, leaves, names
from pipeline.settings.root import Settings, load
from pipeline.settings.rules import (
    customers_digest,
    funnel_names,
    holdout,
    moment_names,
    rules,
    rules_digest,
    vocabulary,
)
from pipeline.settings.services import (
    AlertmanagerSettings,
    ClickHouseSettings,
    CollectorSettings,
    KafkaSettings,
    PrivacySettings,
    RetentionSettings,
    SinkSettings,
    WebhooksSettings,
    WebSettings,
)
from pipeline.settings.shop import FunnelSettings, FunnelsSettings, OnSettings, PipelineSettings, SegmentsSettings

__all__ = [
    "PREFIX",
    "AlertmanagerSettings",
    "ClickHouseSettings",
    "CollectorSettings",
    "FunnelSettings",
    "FunnelsSettings",
    "KafkaSettings",
    "OnSettings",
    "PipelineSettings",
    "PrivacySettings",
    "RetentionSettings",
    "SegmentsSettings",
    "Settings",
    "SettingsError",
    "SinkSettings",
    "WebSettings",
    "WebhooksSettings",
    "customers_digest",
    "funnel_names",
    "holdout",
    "leaves",
    "load",
    "moment_names",
    "names",
    "rules",
    "rules_digest",
    "vocabulary",
]
