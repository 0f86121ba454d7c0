//! Plans travel to segments as datafusion-proto messages and find the functions there by name.

use super::{context, plan_of, text};
use datafusion::physical_plan::collect;
use datafusion::prelude::SessionContext;
use datafusion_proto::bytes::{physical_plan_from_bytes, physical_plan_to_bytes};

#[tokio::test]
async fn every_function_survives_the_journey() {
    let master = context();
    // A segment has the functions and no rules.
    let mut segment = SessionContext::new();
    crate::register_all(&mut segment).unwrap();
    for sql in [
        "SELECT k + 1, k - 1, k * 2, -k FROM t ORDER BY k",
        "SELECT n + 1, n - w, n * n, n * w, n / 3, n % 0.7 FROM t ORDER BY k",
        "SELECT n::smallint, w::int, f8::bigint AS a, f4::numeric(20, 5), f8::numeric(10, 2) AS b FROM t WHERE k < 4 ORDER BY k",
        "SELECT f8 / 2, f4 / 3 FROM t ORDER BY k",
        "SELECT g, sum(k), sum(i8), sum(n), sum(w), sum(f8), avg(k), avg(n), avg(w), avg(f4) FROM t GROUP BY g ORDER BY g",
        "SELECT sum(DISTINCT n), avg(DISTINCT i4), sum(DISTINCT k), sum(n * w) FILTER (WHERE k > 2) FROM t",
        "SELECT sum(n) OVER (ORDER BY k), avg(n) OVER (PARTITION BY g ORDER BY k ROWS 1 PRECEDING) FROM t ORDER BY k",
        "SELECT count(DISTINCT g), sum(k), sum(n) FROM t",
        "SELECT a.k FROM t a JOIN t b ON a.k + 1 = b.k AND a.n * 2 > b.w ORDER BY a.k",
        "SELECT k FROM t WHERE i2 <> 0 AND 10 / i2 > 1 ORDER BY k",
        "SELECT k FROM t WHERE i2 <> 0 AND i2 + 1 > 1 ORDER BY k",
        "SELECT ln(n), log(2, n), sign(n), mod(n, 2) FROM t WHERE k = 1",
        "SELECT round(n, 1), trunc(n), ceil(w), floor(f8), round(f8) FROM t ORDER BY k",
        "SELECT k ^ 2, exp(k), encode(s::bytea, 'base64'), s SIMILAR TO 'a%' FROM t ORDER BY k",
        "SELECT s::varchar(2) AS a, s::char(2) AS b, d + INTERVAL '1 day', s LIKE '!%' ESCAPE '!' FROM t ORDER BY k",
        "SELECT extract(year FROM d), date_part('epoch', d), age(d, DATE '1960-01-01'), f8::text, '' || f4 FROM t ORDER BY k",
        "SELECT date_trunc('decade', d), date_trunc('months', d), concat(f8, d + INTERVAL '1 day') FROM t ORDER BY k",
        "SELECT to_char(d, 'YYYY'), to_char(n, '990.0'), to_date('1' || k, 'YYDDD'), to_timestamp(k) FROM t ORDER BY k",
        "SELECT n * (1 - n) * (1 + n) FROM t WHERE n BETWEEN 0.5 AND 2 ORDER BY k",
    ] {
        let plan = plan_of(&master, sql).await.unwrap();
        let bytes = physical_plan_to_bytes(plan.clone()).unwrap_or_else(|error| panic!("{sql}: {error}"));
        let decoded =
            physical_plan_from_bytes(&bytes, &segment.task_ctx()).unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(decoded.schema(), plan.schema(), "{sql}");
        let here = text(&collect(plan, master.task_ctx()).await.unwrap());
        let there = text(&collect(decoded, segment.task_ctx()).await.unwrap_or_else(|error| panic!("{sql}: {error}")));
        assert_eq!(there, here, "{sql}");
    }
}
