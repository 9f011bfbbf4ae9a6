-- The browser or device that a journey was made with, of somebody who need not be known.

ALTER TABLE cx.journeys
    ADD COLUMN visitor_id String CODEC(ZSTD(3)) AFTER customer_id;
