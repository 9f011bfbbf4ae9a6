-- How often rules about persons fire, of 1,000 who come, beside the other signals (docs/moments.md): of windows of
-- 15 minutes and an hour.

-- The signals of the windows that end with the newest bucket stored. An event may lie five minutes in the future: its
-- bucket is not the present yet. Sums are in the order of the names with which they are joined further down.
DROP VIEW IF EXISTS cx.signals_now;
CREATE VIEW cx.signals_now AS
WITH
    1.959963984540054 AS z,
    (SELECT least(max(bucket), toStartOfInterval(now64(3, 'UTC'), INTERVAL 10 SECOND)) + INTERVAL 10 SECOND
     FROM cx.tiles) AS until
SELECT signal, segment, window, until AS window_end, numerator, n AS denominator, numerator / n AS value,
    multiIf(kind = 'share', if(total <= 0, 0., middle - half),
            kind = 'score', greatest(100 * least(middle - half, value / 100), -100.),
            kind = 'rate', if(times > 0, 1000 * times * greatest(pow(1 - 1 / (9 * times) - z / (3 * sqrt(times)), 3), 0.) / n, 0.),
            value - half) AS lower,
    multiIf(kind = 'share', if(total >= n, 1., middle + half),
            kind = 'score', least(100 * greatest(middle + half, value / 100), 100.),
            kind = 'rate', 1000 * (times + 1) * pow(1 - 1 / (9 * (times + 1)) + z / (3 * sqrt(times + 1)), 3) / n,
            value + half) AS upper
FROM
(
    SELECT segment, window, signal, kind, total, toFloat64(count) AS n, toFloat64(total) AS times,
        times / multiIf(kind = 'mean', 10000., kind = 'score', 0.01, kind = 'rate', 0.001, 1.) AS numerator,
        if(count > 1, toFloat64(squares * count - total * total) / (n * (n - 1)) / 1e8, 0.) AS variance,
        (toFloat64(squares + total) / 2 + 0.75) / (n + 3) AS plus,
        (toFloat64(squares - total) / 2 + 0.75) / (n + 3) AS minus,
        1 + z * z / n AS scale,
        if(kind = 'share', (numerator / n + z * z / (2 * n)) / scale, plus - minus) AS middle,
        multiIf(kind = 'share', z * sqrt(numerator / n * (1 - numerator / n) / n + z * z / (4 * n * n)) / scale,
                kind = 'score', z * sqrt((plus + minus - middle * middle) / (n + 3)),
                z * sqrt(variance / n)) AS half
    FROM
    (
        SELECT segment, window,
            ['cart', 'checkout', 'basket'] AS bought_in,
            sumMap(by_person) AS returned,
            arrayFilter(name -> endsWith(name, '_moments'), arraySort(groupUniqArrayArray(mapKeys(by_person)))) AS rules,
            [sum(cart_completed), sum(checkout_completed), sum(basket_completed)] AS bought,
            [sum(cart_abandoned), sum(checkout_abandoned), sum(basket_abandoned)] AS left_behind,
            arrayMap(name -> returned[concat(name, '_known')], bought_in) AS known,
            arrayMap(name -> returned[concat(name, '_elsewhere')], bought_in) AS elsewhere,
            arrayMap(name -> returned[concat(name, '_asked_1h')], bought_in) AS asked_1h,
            arrayMap(name -> returned[concat(name, '_asked_1d')], bought_in) AS asked_1d,
            arrayMap(name -> returned[concat(name, '_asked_7d')], bought_in) AS asked_7d,
            arrayMap(name -> returned[concat(name, '_recovered_1h')], bought_in) AS recovered_1h,
            arrayMap(name -> returned[concat(name, '_recovered_1d')], bought_in) AS recovered_1d,
            arrayMap(name -> returned[concat(name, '_recovered_7d')], bought_in) AS recovered_7d,
            arrayMap(name -> returned[concat(name, '_value_recovered_7d')], bought_in) AS paid,
            arrayMap(name -> returned[concat(name, '_value_recovered_7d_sq')], bought_in) AS paid_sq,
            sumMap(by_funnel) AS further_sums,
            arrayDistinct(arrayMap(name -> replaceRegexpOne(name, '_(opened|completed|abandoned|value_abandoned|value_abandoned_sq)$', ''),
                                   mapKeys(further_sums))) AS further,
            arrayConcat(['search', 'cart', 'checkout', 'form', 'support', 'queue', 'basket'], further) AS funnels,
            arrayConcat(
                [sum(search_completed), sum(cart_completed), sum(checkout_completed), sum(form_completed),
                 sum(support_completed), sum(queue_completed), sum(basket_completed)],
                arrayMap(funnel -> further_sums[concat(funnel, '_completed')], further)) AS completed,
            arrayConcat(
                [sum(search_abandoned), sum(cart_abandoned), sum(checkout_abandoned), sum(form_abandoned),
                 sum(support_abandoned), sum(queue_abandoned), sum(basket_abandoned)],
                arrayMap(funnel -> further_sums[concat(funnel, '_abandoned')], further)) AS abandoned,
            arrayConcat(
                [sum(search_value_abandoned), sum(cart_value_abandoned), sum(checkout_value_abandoned),
                 sum(form_value_abandoned), sum(support_value_abandoned), sum(queue_value_abandoned),
                 sum(basket_value_abandoned)],
                arrayMap(funnel -> further_sums[concat(funnel, '_value_abandoned')], further)) AS worth,
            arrayConcat(
                [sum(search_value_abandoned_sq), sum(cart_value_abandoned_sq), sum(checkout_value_abandoned_sq),
                 sum(form_value_abandoned_sq), sum(support_value_abandoned_sq), sum(queue_value_abandoned_sq),
                 sum(basket_value_abandoned_sq)],
                arrayMap(funnel -> further_sums[concat(funnel, '_value_abandoned_sq')], further)) AS worth_sq,
            [sum(csat_satisfied), sum(nps_promoters - nps_detractors), sum(ces_sum), sum(friction)] AS scores,
            [toInt256(0), sum(nps_promoters + nps_detractors), sum(ces_sum_sq), 0] AS scores_sq,
            [sum(csat_answers), sum(nps_answers), sum(ces_answers), sum(events)] AS answers
        FROM
        (
            SELECT '1m' AS window, * FROM cx.tiles FINAL
            WHERE bucket >= until - INTERVAL 1 MINUTE AND bucket < until
            UNION ALL
            SELECT '5m' AS window, * FROM cx.tiles FINAL
            WHERE bucket >= until - INTERVAL 5 MINUTE AND bucket < until
            UNION ALL
            SELECT '15m' AS window, * FROM cx.tiles FINAL
            WHERE bucket >= until - INTERVAL 15 MINUTE AND bucket < until
            UNION ALL
            SELECT '1h' AS window, * FROM cx.tiles FINAL
            WHERE bucket >= until - INTERVAL 1 HOUR AND bucket < until
        )
        GROUP BY segment, window
    )
    ARRAY JOIN
        arrayConcat(arrayMap(funnel -> concat(funnel, '_abandonment'), funnels),
                    arrayMap(funnel -> concat(funnel, '_value_abandoned'), funnels),
                    ['csat', 'nps', 'ces', 'friction'],
                    arrayMap(name -> concat(name, '_net_abandonment'), bought_in),
                    arrayMap(name -> concat(name, '_known'), bought_in),
                    arrayMap(name -> concat(name, '_recovery_1h'), bought_in),
                    arrayMap(name -> concat(name, '_recovery_1d'), bought_in),
                    arrayMap(name -> concat(name, '_recovery_7d'), bought_in),
                    arrayMap(name -> concat(name, '_value_recovered_7d'), bought_in),
                    arrayMap(name -> replaceRegexpOne(name, 's$', '_rate'), rules)) AS signal,
        arrayConcat(arrayMap(funnel -> 'share', funnels), arrayMap(funnel -> 'mean', funnels),
                    ['share', 'score', 'mean', 'share'],
                    arrayWithConstant(15, 'share'), arrayWithConstant(3, 'mean'),
                    arrayMap(name -> 'rate', rules)) AS kind,
        CAST(arrayConcat(abandoned, worth, scores,
                         arrayMap((a, e) -> greatest(a - e, 0), left_behind, elsewhere),
                         arrayMap((k, a) -> least(k, a), known, left_behind),
                         recovered_1h, recovered_1d, recovered_7d, paid,
                         arrayMap(name -> greatest(returned[name], 0), rules)), 'Array(Int256)') AS total,
        CAST(arrayConcat(arrayMap(funnel -> 0, funnels), worth_sq, scores_sq,
                         arrayWithConstant(15, 0), paid_sq, arrayMap(name -> 0, rules)), 'Array(Int256)') AS squares,
        CAST(arrayConcat(arrayMap((a, c) -> a + c, abandoned, completed), abandoned, answers,
                         arrayMap((a, c) -> a + c, left_behind, bought), left_behind,
                         asked_1h, asked_1d, asked_7d, recovered_7d,
                         arrayMap(name -> returned['persons_seen'], rules)), 'Array(Int256)') AS count
    WHERE count > 0 AND (kind != 'rate' OR window IN ('15m', '1h'))
);
