-- Every table keeps the newest version of a row (reads use FINAL or argMax) and is partitioned by a
-- function of its key only: the same key in two partitions would never be merged. stored_at serves the
-- retention, which `cx-signals migrate` sets from the settings.

CREATE TABLE cx.signals
(
    signal      String,
    segment     String,
    window      String,
    window_end  DateTime64(3, 'UTC'),
    numerator   Float64,
    denominator Float64,
    value       Float64,
    lower       Float64,
    upper       Float64,
    version     UInt64,
    stored_at   DateTime('UTC') DEFAULT now()
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY (window, toYear(window_end))
ORDER BY (signal, segment, window, window_end);

CREATE TABLE cx.journeys
(
    journey_id  String,
    funnel      String,
    session_id  String,
    customer_id String,
    channel     String,
    store_id    String,
    region      String,
    device      String,
    entered_at  DateTime64(3, 'UTC'),
    ended_at    DateTime64(3, 'UTC'),
    outcome     String,
    reason      String,
    last_step   String,
    value       Float64,
    version     UInt64,
    stored_at   DateTime('UTC') DEFAULT now()
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYear(entered_at)
ORDER BY (channel, session_id, journey_id, entered_at);

-- Money and scores in 1/10,000, their squares in 1/100,000,000: exact whatever the order of adding.
CREATE TABLE cx.tiles
(
    segment                      String,
    bucket                       DateTime64(3, 'UTC'),
    source                       String,
    events                       Int64,
    friction                     Int64,
    csat_answers                 Int64,
    csat_satisfied               Int64,
    nps_answers                  Int64,
    nps_promoters                Int64,
    nps_detractors               Int64,
    ces_answers                  Int64,
    ces_sum                      Int128,
    ces_sum_sq                   Int256,
    search_completed             Int64,
    search_abandoned             Int64,
    search_value_abandoned       Int128,
    search_value_abandoned_sq    Int256,
    cart_completed               Int64,
    cart_abandoned               Int64,
    cart_value_abandoned         Int128,
    cart_value_abandoned_sq      Int256,
    checkout_completed           Int64,
    checkout_abandoned           Int64,
    checkout_value_abandoned     Int128,
    checkout_value_abandoned_sq  Int256,
    form_completed               Int64,
    form_abandoned               Int64,
    form_value_abandoned         Int128,
    form_value_abandoned_sq      Int256,
    support_completed            Int64,
    support_abandoned            Int64,
    support_value_abandoned      Int128,
    support_value_abandoned_sq   Int256,
    queue_completed              Int64,
    queue_abandoned              Int64,
    queue_value_abandoned        Int128,
    queue_value_abandoned_sq     Int256,
    basket_completed             Int64,
    basket_abandoned             Int64,
    basket_value_abandoned       Int128,
    basket_value_abandoned_sq    Int256,
    version                      UInt64,
    stored_at                    DateTime('UTC') DEFAULT now()
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYear(bucket)
ORDER BY (segment, bucket, source);

CREATE TABLE cx.alerts
(
    alert_id    String,
    rule        String,
    signal      String,
    segment     String,
    status      String,
    opened_at   DateTime64(3, 'UTC'),
    updated_at  DateTime64(3, 'UTC'),
    resolved_at Nullable(DateTime64(3, 'UTC')),
    observed    Float64,
    expected    Float64,
    severity    String,
    explanation String,
    version     UInt64,
    stored_at   DateTime('UTC') DEFAULT now()
)
ENGINE = ReplacingMergeTree(version)
ORDER BY alert_id;

CREATE TABLE cx.dead_letters
(
    received_at DateTime64(3, 'UTC'),
    topic       String,
    partition   UInt32,
    offset      UInt64,
    reason      String,
    error       String,
    payload     String,
    size        UInt64,
    sha256      String,
    stored_at   DateTime('UTC') DEFAULT now()
)
ENGINE = ReplacingMergeTree
PARTITION BY topic
ORDER BY (topic, partition, offset);
