-- What a period life table is made of, and events by step. `opened` and the endings `<funnel>_left_<age>` are
-- in the bucket of entry, all else in that of the event; ages are the lower edges of log-spaced bins.

ALTER TABLE cx.tiles
    ADD COLUMN search_opened   Int64 AFTER source,
    ADD COLUMN cart_opened     Int64 AFTER search_opened,
    ADD COLUMN checkout_opened Int64 AFTER cart_opened,
    ADD COLUMN form_opened     Int64 AFTER checkout_opened,
    ADD COLUMN support_opened  Int64 AFTER form_opened,
    ADD COLUMN queue_opened    Int64 AFTER support_opened,
    ADD COLUMN basket_opened   Int64 AFTER queue_opened,
    ADD COLUMN by_age          Map(String, Int64) AFTER basket_opened,
    ADD COLUMN by_step         Map(String, Int64) AFTER by_age;
