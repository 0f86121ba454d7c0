//! Column names, and plans that the rules must leave alone.

use super::{context, plain};

#[tokio::test]
async fn names_are_datafusions() {
    for sql in [
        "SELECT k + 1, 1, -k, k * 2 - 1, count(*), sum(k), sum(k + 1), avg(n) FROM t GROUP BY k, n",
        "SELECT n * (1 - n), n / 2, f8 / 2, CASE WHEN k = 1 THEN 1 ELSE 0 END, coalesce(k, 0) FROM t",
        "SELECT k::bigint, n::int, 'a' || s, k = 1, k IN (1, 2), n BETWEEN 1 AND 2 FROM t",
        "SELECT sum(k) OVER (PARTITION BY g + 1 ORDER BY k * 2), row_number() OVER (ORDER BY k) FROM t",
        "SELECT g + 1, count(*) FROM t GROUP BY ROLLUP(g + 1)",
        "SELECT * FROM (SELECT 1, k + 1 FROM t) x",
        "SELECT 1 UNION ALL SELECT k + 1 FROM t",
        "SELECT (SELECT max(k) + 1 FROM t), (SELECT 1)",
        "SELECT sum(DISTINCT k), count(DISTINCT g), sum(k) FILTER (WHERE k > 1) FROM t",
        "SELECT max(k) - 1 AS m FROM t HAVING count(*) > 1",
    ] {
        let names = |plan: datafusion::logical_expr::LogicalPlan| -> Vec<String> {
            plan.schema().fields().iter().map(|field| field.name().clone()).collect()
        };
        let expected = names(plain().sql(sql).await.unwrap().into_unoptimized_plan());
        let context = context();
        let frame = context.sql(sql).await.unwrap();
        let analyzed = frame.clone().into_optimized_plan().unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(names(analyzed), expected, "{sql}");
        frame.collect().await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

#[tokio::test]
async fn equal_keys_are_still_hash_joins() {
    for sql in [
        "SELECT * FROM t a JOIN t b ON a.k + 1 = b.k",
        "SELECT * FROM t a JOIN t b ON a.n = b.w",
        "SELECT * FROM t a, t b WHERE a.k = b.i8",
    ] {
        let plan = context().sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        let text = datafusion::physical_plan::displayable(plan.as_ref()).indent(false).to_string();
        assert!(text.contains("HashJoinExec"), "{sql}\n{text}");
    }
}

/// Deep but sane expressions pass, on a stack as large as the master's planning threads have.
#[test]
fn long_chains() {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let sum = vec!["k"; 300].join(" + ");
            assert_eq!(super::rows(&format!("SELECT {sum} FROM t WHERE k = 2")).await, ["600"]);
            let or = (0..300).map(|i| format!("k = {i}")).collect::<Vec<_>>().join(" OR ");
            assert_eq!(super::rows(&format!("SELECT count(*) FROM t WHERE {or}")).await, ["7"]);
        });
    };
    std::thread::Builder::new().stack_size(64 << 20).spawn(run).unwrap().join().unwrap();
}
