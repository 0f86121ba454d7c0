//! `to_char`, `to_date`, `to_timestamp`; what the patterns mean is tested next to them.

use super::{described, expressions, types};
use arrow::datatypes::{DataType, TimeUnit};

#[tokio::test]
async fn patterns_are_postgresqls() {
    expressions(&[
        ("to_char(TIMESTAMP '2024-03-05 14:07:09', 'YYYY-MM-DD HH24:MI:SS')", "2024-03-05 14:07:09"),
        (
            "to_char(d, 'DD Mon YYYY'), to_char(timestamptz '2024-01-01 00:30:00+00', 'HH12:MI am')",
            "01 Jan 1970|12:30 am",
        ),
        ("to_char(1234.5, 'FM9,999.99'), to_char(i4, '999'), to_char(-0.1::float8, '0.99')", "1,234.5|  10|-0.10"),
        ("to_char(n, CASE WHEN k = 1 THEN '9.9' ELSE '9' END), to_char(NULL, '9'), to_char(n, NULL)", " 1.5||"),
        (
            "to_date('20240305', 'YYYYMMDD'), to_timestamp('2024-03-05 14', 'YYYY-MM-DD HH24')::text",
            "2024-03-05|2024-03-05 14:00:00+00",
        ),
        (
            "to_timestamp(1709647629)::text, to_timestamp(0.5)::text AS b, to_date(s, 'YYYY') < d",
            "2024-03-05 14:07:09+00|1970-01-01 00:00:00.5+00|true",
        ),
    ])
    .await;
    assert_eq!(
        types("SELECT to_date('1', 'DD'), to_timestamp(k) FROM t").await,
        [DataType::Date32, DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()))]
    );
}

#[tokio::test]
async fn what_is_not_supported_is_refused() {
    for (sql, sqlstate, message) in [
        ("SELECT to_char(d, 'YYYY TZ') FROM t", "0A000", "format pattern \"TZ\" is not supported"),
        ("SELECT to_char(i4, 'RN') FROM t", "0A000", "format pattern \"RN\" is not supported"),
        ("SELECT to_date('2024-02-30', 'YYYY-MM-DD')", "22008", "date/time field value out of range: \"2024-02-30\""),
        ("SELECT to_date('x', 'YYYY')", "22007", "invalid value \"x\" for \"YYYY\""),
    ] {
        let described = described(sql).await;
        assert_eq!((described.sqlstate, described.message.as_str()), (sqlstate, message), "{sql}");
    }
}
