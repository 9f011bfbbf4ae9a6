-- What an alert's message says beside its sentence, so that the console can draw it.

ALTER TABLE cx.alerts
    ADD COLUMN n Float64 DEFAULT 0 AFTER expected,
    ADD COLUMN window_s UInt32 DEFAULT 0 AFTER n,
    ADD COLUMN cause_where Array(String) AFTER window_s,
    ADD COLUMN cause_share Array(Float64) AFTER cause_where,
    ADD COLUMN missing Nullable(Float64) AFTER cause_share,
    ADD COLUMN at_stake Nullable(Float64) AFTER missing,
    ADD COLUMN currency String AFTER at_stake;
