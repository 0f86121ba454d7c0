//! PostgreSQL's types that Damson has, with PostgreSQL's own ids.

/// A row of `pg_type`, without what is the same for all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PgType {
    pub oid: u64,
    /// As the catalogs call it: `int4`.
    pub name: &'static str,
    /// As SQL does: `integer`.
    pub sql_name: &'static str,
    /// Bytes; -1 varies, -2 ends with a zero byte.
    pub length: i16,
    /// `typcategory`.
    pub category: &'static str,
    /// Of its array type; 0: none.
    pub array: u64,
}

const fn ty(
    oid: u64,
    name: &'static str,
    sql_name: &'static str,
    length: i16,
    category: &'static str,
    array: u64,
) -> PgType {
    PgType { oid, name, sql_name, length, category, array }
}

pub(crate) const TYPES: &[PgType] = &[
    ty(16, "bool", "boolean", 1, "B", 1000),
    ty(17, "bytea", "bytea", -1, "U", 1001),
    ty(18, "char", "\"char\"", 1, "S", 1002),
    ty(19, "name", "name", 64, "S", 1003),
    ty(20, "int8", "bigint", 8, "N", 1016),
    ty(21, "int2", "smallint", 2, "N", 1005),
    ty(22, "int2vector", "int2vector", -1, "A", 1006),
    ty(23, "int4", "integer", 4, "N", 1007),
    ty(24, "regproc", "regproc", 4, "N", 1008),
    ty(25, "text", "text", -1, "S", 1009),
    ty(26, "oid", "oid", 4, "N", 1028),
    ty(28, "xid", "xid", 4, "U", 1011),
    ty(30, "oidvector", "oidvector", -1, "A", 1013),
    ty(114, "json", "json", -1, "U", 199),
    ty(194, "pg_node_tree", "pg_node_tree", -1, "Z", 0),
    ty(700, "float4", "real", 4, "N", 1021),
    ty(701, "float8", "double precision", 8, "N", 1022),
    ty(705, "unknown", "unknown", -2, "X", 0),
    ty(1033, "aclitem", "aclitem", 12, "U", 1034),
    ty(1042, "bpchar", "character", -1, "S", 1014),
    ty(1043, "varchar", "character varying", -1, "S", 1015),
    ty(1082, "date", "date", 4, "D", 1182),
    ty(1083, "time", "time without time zone", 8, "D", 1183),
    ty(1114, "timestamp", "timestamp without time zone", 8, "D", 1115),
    ty(1184, "timestamptz", "timestamp with time zone", 8, "D", 1185),
    ty(1186, "interval", "interval", 16, "T", 1187),
    ty(1700, "numeric", "numeric", -1, "N", 1231),
    ty(2202, "regprocedure", "regprocedure", 4, "N", 2207),
    ty(2205, "regclass", "regclass", 4, "N", 2210),
    ty(2206, "regtype", "regtype", 4, "N", 2211),
    ty(2249, "record", "record", -1, "P", 2287),
    ty(2276, "any", "\"any\"", 4, "P", 0),
    ty(2277, "anyarray", "anyarray", -1, "P", 0),
    ty(2278, "void", "void", 4, "P", 0),
    ty(2279, "trigger", "trigger", 4, "P", 0),
    ty(2283, "anyelement", "anyelement", 4, "P", 0),
    ty(2950, "uuid", "uuid", 16, "U", 2951),
    ty(4089, "regnamespace", "regnamespace", 4, "N", 4090),
    ty(4096, "regrole", "regrole", 4, "N", 4097),
];

/// A name that SQL has beside the two of [`PgType`].
const SYNONYMS: &[(&str, &str)] = &[
    ("int", "int4"),
    ("float", "float8"),
    ("decimal", "numeric"),
    ("varchar", "varchar"),
    ("char", "bpchar"),
    ("time", "time"),
    ("timestamp", "timestamp"),
];

/// The type and the modifier of a column that was declared as `sql_type`, PostgreSQL's full name: `numeric(15,2)`.
pub(crate) fn of_sql_type(sql_type: &str) -> (u64, i32) {
    if let Some(item) = sql_type.strip_suffix("[]") {
        let (item, modifier) = of_sql_type(item);
        let array = by_oid(item).map_or(0, |found| found.array);
        return (array, modifier);
    }
    let (name, arguments) = match sql_type.split_once('(') {
        Some((name, rest)) => (name, rest.trim_end_matches(')')),
        None => (sql_type, ""),
    };
    let oid = by_name(name).map_or(0, |found| found.oid);
    let mut numbers = arguments.split(',').map(|number| number.trim().parse::<i32>().ok());
    let modifier = match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(precision), Some(scale)) => ((precision << 16) | scale) + 4,
        (Some(precision), None) if name == "numeric" => (precision << 16) + 4,
        (Some(length), None) => length + 4,
        (None, _) => -1,
    };
    (oid, modifier)
}

pub(crate) fn by_oid(oid: u64) -> Option<&'static PgType> {
    TYPES.iter().find(|known| known.oid == oid)
}

/// By either of its names, or a synonym.
pub(crate) fn by_name(name: &str) -> Option<&'static PgType> {
    let name = name.strip_prefix("pg_catalog.").unwrap_or(name);
    let by_sql_name = TYPES.iter().find(|known| known.sql_name == name);
    let synonym = || SYNONYMS.iter().find(|(synonym, _)| *synonym == name).map_or(name, |(_, name)| *name);
    by_sql_name.or_else(|| TYPES.iter().find(|known| known.name == synonym()))
}

/// As `regtype` reads it: an array's name too.
pub(crate) fn oid_of_name(name: &str) -> Option<u64> {
    let name = name.trim().to_ascii_lowercase();
    match name.strip_suffix("[]") {
        Some(item) => by_name(item).map(|found| found.array),
        None => match name.strip_prefix('_').and_then(by_name) {
            Some(item) => Some(item.array),
            None => match by_name(&name) {
                Some(found) => Some(found.oid),
                None => name.split_once('(').and_then(|(name, _)| by_name(name)).map(|found| found.oid),
            },
        },
    }
    .filter(|oid| *oid != 0)
}

/// `format_type(oid, modifier)`.
pub(crate) fn formatted(oid: u64, modifier: Option<i64>) -> String {
    if oid == 0 {
        return "-".into();
    }
    if let Some(item) = TYPES.iter().find(|known| known.array == oid && known.array != 0) {
        return format!("{}[]", formatted(item.oid, modifier));
    }
    let Some(known) = by_oid(oid) else { return "???".into() };
    match (known.name, modifier) {
        // Without a length it would be char(1).
        ("bpchar", Some(-1)) => "bpchar".into(),
        ("numeric", Some(modifier)) if modifier >= 4 => {
            let modifier = modifier - 4;
            format!("numeric({},{})", (modifier >> 16) & 0xffff, modifier & 0xffff)
        }
        ("varchar" | "bpchar", Some(modifier)) if modifier >= 4 => format!("{}({})", known.sql_name, modifier - 4),
        _ => known.sql_name.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_types_are_formatted_as_they_were() {
        for name in [
            "integer",
            "numeric(15,2)",
            "numeric",
            "character varying(25)",
            "character varying",
            "character(3)",
            "timestamp with time zone",
            "text[]",
            "numeric(5,0)[]",
        ] {
            let (oid, modifier) = of_sql_type(name);
            assert_eq!(formatted(oid, Some(modifier.into())), name);
        }
        assert_eq!(of_sql_type("numeric(15,2)"), (1700, 983_046));
        assert_eq!(of_sql_type("character varying(25)"), (1043, 29));
        assert_eq!((formatted(99, None), formatted(0, None)), ("???".into(), "-".into()));
        assert_eq!((formatted(1042, None), formatted(1042, Some(-1))), ("character".into(), "bpchar".into()));
    }

    #[test]
    fn names_are_found() {
        for (name, oid) in [
            ("int4", 23),
            ("pg_catalog.int8", 20),
            ("varchar", 1043),
            ("_text", 1009),
            ("Timestamp Without Time Zone", 1114),
            ("int[]", 1007),
            ("numeric(3,1)", 1700),
        ] {
            assert_eq!(oid_of_name(name), Some(oid), "{name}");
        }
        assert_eq!(oid_of_name("nothing"), None);
    }
}
