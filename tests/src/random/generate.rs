//! Random queries.

use super::expression::{Scope, ScopeColumn, column, conjunct, inequality, scalar, simple_predicate};
use super::query::{Query, Select};
use super::schema::{Column, Kind, Universe};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// No join is made that could give more rows than this.
const JOIN_ROWS_MAX: usize = 200_000;
/// Above it a query aggregates, and has no window: rows are compared as text.
const PLAIN_ROWS_MAX: usize = 20_000;

/// A query over the tables of `universe`.
pub fn random_query(universe: &Universe, rng: &mut StdRng) -> Query {
    let (ctes, extra) = random_ctes(universe, rng);
    let from = random_from(universe, &extra, rng);
    let (select, kinds) = random_select(&from, universe, rng, None);
    let set_operation = if rng.random_bool(0.15) && select.items.len() <= 4 {
        let operations = ["UNION ALL", "UNION ALL", "UNION", "UNION", "INTERSECT", "EXCEPT"];
        let other = random_from(universe, &extra, rng);
        let (other, _) = random_select(&other, universe, rng, Some(&kinds));
        Some((*operations.choose(rng).expect("operations"), other))
    } else {
        None
    };
    let order = rng.random_bool(0.4).then(|| {
        let ways = ["ASC", "DESC", "ASC NULLS FIRST", "DESC NULLS LAST"];
        select.items.iter().map(|_| *ways.choose(rng).expect("ways")).collect::<Vec<_>>()
    });
    let limit = if order.is_some() && rng.random_bool(0.6) {
        let offset = if rng.random_bool(0.3) { format!(" OFFSET {}", rng.random_range(0..6)) } else { String::new() };
        Some(format!("LIMIT {}{offset}", rng.random_range(1..60)))
    } else {
        None
    };
    Query { ctes, select, set_operation, order, limit }
}

/// A relation that FROM can name.
struct Relation {
    /// A table's name, a CTE's name, or a subquery in parentheses.
    text: String,
    columns: Vec<Column>,
    rows: usize,
}

fn tables(universe: &Universe) -> impl Iterator<Item = Relation> {
    universe.tables.iter().map(|t| Relation { text: t.name.clone(), columns: t.columns.clone(), rows: t.rows })
}

/// Sometimes one WITH item.
fn random_ctes(universe: &Universe, rng: &mut StdRng) -> (Vec<String>, Vec<Relation>) {
    if !rng.random_bool(0.12) {
        return (vec![], vec![]);
    }
    let derived = derived_table(universe, rng);
    let item = format!("w AS {}", derived.text);
    (vec![item], vec![Relation { text: "w".into(), ..derived }])
}

/// A subquery with known columns: the first rows of a table by its id, or an aggregate by one column.
fn derived_table(universe: &Universe, rng: &mut StdRng) -> Relation {
    let table = universe.tables.choose(rng).expect("tables");
    let name = &table.name;
    if rng.random_bool(0.5) {
        let limit = rng.random_range(0..200);
        let text = format!("(SELECT * FROM {name} ORDER BY id LIMIT {limit})");
        let bounded = |c: &Column| Column { most_frequent: c.most_frequent.min(limit), ..c.clone() };
        return Relation { text, columns: table.columns.iter().map(bounded).collect(), rows: table.rows.min(limit) };
    }
    let key = table.columns.choose(rng).expect("the id");
    let text = format!("(SELECT {0}, count(*) AS n, min(id) AS m FROM {name} GROUP BY {0})", key.name);
    let columns = vec![
        Column { most_frequent: 1, ..key.clone() },
        Column { name: "n".into(), kind: Kind::BigInt, most_frequent: table.rows },
        Column { name: "m".into(), kind: Kind::Int, most_frequent: 1 },
    ];
    Relation { text, columns, rows: table.rows }
}

/// FROM and its joins.
struct From {
    first: String,
    joins: Vec<String>,
    scope: Scope,
    /// One column of each relation that tells its rows apart, for total orders.
    unique: Vec<String>,
    rows_max: usize,
}

fn random_from(universe: &Universe, extra: &[Relation], rng: &mut StdRng) -> From {
    let pick = |rng: &mut StdRng| -> Relation {
        if !extra.is_empty() && rng.random_bool(0.6) {
            let Relation { text, columns, rows } = &extra[0];
            return Relation { text: text.clone(), columns: columns.clone(), rows: *rows };
        }
        if rng.random_bool(0.15) {
            return derived_table(universe, rng);
        }
        let at = rng.random_range(0..universe.tables.len());
        tables(universe).nth(at).expect("a table")
    };
    let scope_of = |relation: &Relation, alias: &str| -> Scope {
        let column = |c: &Column| ScopeColumn { text: format!("{alias}.{}", c.name), kind: c.kind };
        relation.columns.iter().map(column).collect()
    };
    let unique_of = |relation: &Relation, alias: &str| {
        // `id` of a table; of an aggregate, the smallest id of each group.
        let last = if relation.columns[0].name == "id" && relation.columns.last().is_none_or(|c| c.name != "m") {
            "id"
        } else {
            "m"
        };
        format!("{alias}.{last}")
    };
    let first = pick(rng);
    let mut from = From {
        first: format!("{} AS a0", first.text),
        joins: vec![],
        scope: scope_of(&first, "a0"),
        unique: vec![unique_of(&first, "a0")],
        rows_max: first.rows,
    };
    let joins = *[0, 0, 1, 1, 1, 2, 2, 3].choose(rng).expect("counts");
    for at in 1..=joins {
        let relation = pick(rng);
        let alias = format!("a{at}");
        let scope = scope_of(&relation, &alias);
        let Some((join, rows)) = random_join(&from, &relation, &alias, &scope, rng) else { continue };
        from.joins.push(join);
        from.rows_max = rows;
        from.unique.push(unique_of(&relation, &alias));
        from.scope.extend(scope);
    }
    from
}

/// A join of `relation` to what is there, and a bound of its rows; None where it could be too large.
fn random_join(
    from: &From,
    relation: &Relation,
    alias: &str,
    scope: &Scope,
    rng: &mut StdRng,
) -> Option<(String, usize)> {
    let text = &relation.text;
    let product = from.rows_max.saturating_mul(relation.rows);
    let kind = *["JOIN", "JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN", "non-equi"]
        .choose(rng)
        .expect("kinds");
    match kind {
        "CROSS JOIN" if product <= JOIN_ROWS_MAX / 10 => Some((format!("CROSS JOIN {text} AS {alias}"), product)),
        "non-equi" if product <= JOIN_ROWS_MAX / 10 => {
            let right = column(scope, rng, |kind| kind != Kind::Boolean)?;
            let left = column(&from.scope, rng, |kind| kind.comparable(right.kind))?;
            let operator = ["<", ">=", "<>"].choose(rng).expect("operators");
            let how = ["JOIN", "LEFT JOIN"].choose(rng).expect("kinds");
            let bound = product + from.rows_max;
            Some((format!("{how} {text} AS {alias} ON {} {operator} {}", left.text, right.text), bound))
        }
        "CROSS JOIN" | "non-equi" => None,
        equi => {
            // `c0` and `id` often: what tables are distributed by.
            let position = if rng.random_bool(0.5) { rng.random_range(0..2) } else { rng.random_range(0..scope.len()) };
            let right = scope.get(position)?;
            let left = column(&from.scope, rng, |kind| kind.comparable(right.kind))?;
            let matches = relation.columns[position].most_frequent;
            let bound = from.rows_max.saturating_mul(matches.max(1)) + relation.rows;
            if bound > JOIN_ROWS_MAX {
                return None;
            }
            let mut on = vec![format!("{} = {}", left.text, right.text)];
            let extra = if equi == "JOIN" { simple_predicate } else { inequality };
            if rng.random_bool(0.25) {
                on.push(extra(scope, rng));
            }
            if equi != "FULL JOIN" && rng.random_bool(0.15) {
                on.push(extra(&from.scope, rng));
            }
            if rng.random_bool(0.15)
                && let Some(second) = column(scope, rng, |_| true)
                && let Some(other) = column(&from.scope, rng, |kind| kind.comparable(second.kind))
            {
                on.push(format!("{} = {}", other.text, second.text));
            }
            Some((format!("{equi} {text} AS {alias} ON {}", on.join(" AND ")), bound))
        }
    }
}

/// A SELECT over `from`, and the kinds of its columns; of exactly the `wanted` kinds, where they are given.
fn random_select(from: &From, universe: &Universe, rng: &mut StdRng, wanted: Option<&[Kind]>) -> (Select, Vec<Kind>) {
    let scope = &from.scope;
    let mut select = Select {
        distinct: false,
        items: vec![],
        from: from.first.clone(),
        joins: from.joins.clone(),
        filters: vec![],
        group_by: vec![],
        rollup: false,
        having: None,
    };
    for _ in 0..*[0, 0, 0, 1, 1, 2].choose(rng).expect("counts") {
        select.filters.push(conjunct(scope, universe, rng));
    }
    let mut kinds = vec![];
    if let Some(wanted) = wanted {
        for &kind in wanted {
            let item = column(scope, rng, |k| k == kind).map_or_else(|| kind.literal(3), |c| c.text);
            select.items.push(item);
            kinds.push(kind);
        }
        // Many rows say no more in a set operation than few.
        select.distinct = from.rows_max > PLAIN_ROWS_MAX;
        return (select, kinds);
    }
    if from.rows_max > PLAIN_ROWS_MAX || rng.random_bool(0.5) {
        aggregate(&mut select, &mut kinds, from, rng);
        return (select, kinds);
    }
    for _ in 0..rng.random_range(1..=4) {
        let (item, kind) = scalar(scope, rng);
        select.items.push(item);
        kinds.push(kind);
    }
    if rng.random_bool(0.15) {
        select.distinct = true;
    } else if rng.random_bool(0.3) {
        for _ in 0..rng.random_range(1..=2) {
            let (item, kind) = window(from, rng);
            select.items.push(item);
            kinds.push(kind);
        }
    }
    if rng.random_bool(0.1)
        && let Some((item, kind)) = scalar_subquery(scope, universe, rng)
    {
        select.items.push(item);
        kinds.push(kind);
    }
    (select, kinds)
}

fn aggregate(select: &mut Select, kinds: &mut Vec<Kind>, from: &From, rng: &mut StdRng) {
    let scope = &from.scope;
    for _ in 0..*[0, 1, 1, 1, 2, 2, 3].choose(rng).expect("counts") {
        let (key, kind) = scalar(scope, rng);
        if !select.group_by.contains(&key) {
            select.items.push(key.clone());
            select.group_by.push(key);
            kinds.push(kind);
        }
    }
    // A ROLLUP over an expression that also appears below an aggregate is bound differently by engines: plain columns.
    let plain = |key: &String| scope.iter().any(|c| &c.text == key);
    select.rollup = !select.group_by.is_empty() && select.group_by.iter().all(plain) && rng.random_bool(0.15);
    for _ in 0..rng.random_range(1..=4) {
        let (item, kind) = one_aggregate(from, rng);
        select.items.push(item);
        kinds.push(kind);
    }
    if rng.random_bool(0.2) {
        let floor = rng.random_range(0..3);
        select.having = Some(match column(scope, rng, Kind::is_integer) {
            Some(c) if rng.random_bool(0.5) => format!("sum({}) > {floor}", c.text),
            _ => format!("count(*) > {floor}"),
        });
    }
}

fn one_aggregate(from: &From, rng: &mut StdRng) -> (String, Kind) {
    let scope = &from.scope;
    let filter =
        if rng.random_bool(0.25) { format!(" FILTER (WHERE {})", simple_predicate(scope, rng)) } else { String::new() };
    let any = |rng: &mut StdRng| column(scope, rng, |_| true).expect("every scope has columns").text;
    let distinct = if rng.random_bool(0.3) { "DISTINCT " } else { "" };
    let (call, kind) = match rng.random_range(0..9) {
        0 | 1 => ("count(*)".to_string(), Kind::BigInt),
        2 => (format!("count({distinct}{})", any(rng)), Kind::BigInt),
        3 => (format!("count(DISTINCT {})", any(rng)), Kind::BigInt),
        4 | 5 => match column(scope, rng, |kind| kind.is_exact_number() || kind == Kind::Double) {
            Some(c) if c.kind == Kind::Double => (format!("sum({})", c.text), Kind::Double),
            Some(c) => (format!("sum({distinct}{})", c.text), Kind::Numeric),
            None => ("count(*)".into(), Kind::BigInt),
        },
        6 => match column(scope, rng, |kind| kind != Kind::Boolean) {
            Some(c) => (format!("{}({})", ["min", "max"].choose(rng).expect("names"), c.text), c.kind),
            None => ("count(*)".into(), Kind::BigInt),
        },
        7 => match column(scope, rng, |kind| kind.is_integer() || kind == Kind::Double) {
            Some(c) => (format!("avg({})", c.text), Kind::Double),
            None => ("count(*)".into(), Kind::BigInt),
        },
        _ => match column(scope, rng, |kind| matches!(kind, Kind::Boolean | Kind::Text)) {
            Some(c) if c.kind == Kind::Boolean => {
                (format!("{}({})", ["bool_and", "bool_or"].choose(rng).expect("names"), c.text), Kind::Boolean)
            }
            Some(c) if from.rows_max <= 2000 => {
                let order = std::iter::once(&c.text).chain(&from.unique).cloned().collect::<Vec<_>>().join(", ");
                (format!("string_agg({}, ',' ORDER BY {order})", c.text), Kind::Text)
            }
            _ => ("count(*)".into(), Kind::BigInt),
        },
    };
    (call + &filter, kind)
}

/// A window function whose result does not depend on the order of ties.
fn window(from: &From, rng: &mut StdRng) -> (String, Kind) {
    let scope = &from.scope;
    let partition = match column(scope, rng, |_| true) {
        Some(c) if rng.random_bool(0.7) => format!("PARTITION BY {} ", c.text),
        _ => String::new(),
    };
    // DataFusion 55.2 forgets the rest of an order that begins with the partition's own column.
    let others: Scope = scope.iter().filter(|c| partition != format!("PARTITION BY {} ", c.text)).cloned().collect();
    let key = column(&others, rng, |_| true).expect("a relation has two columns").text;
    let direction = ["", " DESC", " NULLS FIRST"].choose(rng).expect("directions");
    let total = format!("ORDER BY {key}{direction}, {}", from.unique.join(", "));
    let peers = format!("ORDER BY {key}{direction}");
    let value = column(scope, rng, Kind::is_integer).map(|c| c.text);
    match (rng.random_range(0..7), value) {
        (0, _) => (format!("rank() OVER ({partition}{peers})"), Kind::BigInt),
        (1, _) => (format!("dense_rank() OVER ({partition}{peers})"), Kind::BigInt),
        (2, Some(v)) => (format!("sum({v}) OVER ({partition}{total})"), Kind::Numeric),
        (3, Some(v)) => (format!("lag({v}) OVER ({partition}{total})"), Kind::BigInt),
        (4, Some(v)) => {
            (format!("max({v}) OVER ({partition}{total} ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING)"), Kind::BigInt)
        }
        (5, _) => (format!("count(*) OVER ({})", partition.trim_end()), Kind::BigInt),
        _ => (format!("row_number() OVER ({partition}{total})"), Kind::BigInt),
    }
}

/// `(SELECT max(…) FROM … WHERE … = outer)`
fn scalar_subquery(scope: &Scope, universe: &Universe, rng: &mut StdRng) -> Option<(String, Kind)> {
    let table = universe.tables.choose(rng)?;
    let inner: Scope =
        table.columns.iter().map(|c| ScopeColumn { text: format!("q.{}", c.name), kind: c.kind }).collect();
    let value = column(&inner, rng, |kind| kind != Kind::Boolean)?;
    let name = &table.name;
    if rng.random_bool(0.4) {
        return Some((format!("(SELECT max({}) FROM {name} AS q)", value.text), value.kind));
    }
    let link = column(&inner, rng, |_| true)?;
    let outer = column(scope, rng, |kind| kind.comparable(link.kind))?;
    Some((format!("(SELECT max({}) FROM {name} AS q WHERE {} = {})", value.text, link.text, outer.text), value.kind))
}
