//! A column's type as RowDescription tells it.

/// OID, length and modifier of a type, as `pg_type` and `pg_attribute` of PostgreSQL 14 have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PgType {
    pub oid: u32,
    /// Bytes of a value; -1 if they differ from value to value.
    pub bytes: i16,
    /// -1 for none. `numeric(p,s)`: `(p << 16 | s) + 4`; `varchar(n)` and `char(n)`: `n + 4`.
    pub modifier: i32,
}

/// What PostgreSQL adds to a modifier that counts bytes or digits: the length word of a stored value.
const HEADER: i32 = 4;

impl PgType {
    /// The type that has PostgreSQL's full name `name`: `integer`, `numeric(15,2)`, `character varying(25)`, `date[]`.
    /// None for a name that is no type's.
    pub fn of_name(name: &str) -> Option<Self> {
        if let Some(item) = name.strip_suffix("[]") {
            let modifier = Self::of_name(item)?.modifier;
            let (plain, _) = split(item)?;
            return Some(PgType { oid: oids(plain)?.1, bytes: -1, modifier });
        }
        let (plain, arguments) = split(name)?;
        let (oid, _, bytes) = oids(plain)?;
        let modifier = match arguments {
            None => -1,
            Some(arguments) => modifier(plain, arguments)?,
        };
        Some(PgType { oid, bytes, modifier })
    }
}

/// PostgreSQL's name of the type with that OID, `integer[]` for arrays; None for types that Damson does not have.
pub fn name_of_oid(oid: u32) -> Option<String> {
    // What clients send for texts in other words.
    let plain = match oid {
        // unknown, name, "char"
        705 | 19 | 18 => "text",
        26 => "bigint",
        _ => {
            let plain = TYPES.iter().find(|name| oids(name).is_some_and(|(plain, _, _)| plain == oid));
            let array = || TYPES.iter().find(|name| oids(name).is_some_and(|(_, array, _)| array == oid));
            return match plain {
                Some(plain) => Some((*plain).to_owned()),
                None => array().map(|item| format!("{item}[]")),
            };
        }
    };
    Some(plain.to_owned())
}

/// Names that [`oids`] knows.
const TYPES: [&str; 19] = [
    "boolean",
    "bytea",
    "bigint",
    "smallint",
    "integer",
    "text",
    "json",
    "real",
    "double precision",
    "character",
    "character varying",
    "date",
    "time without time zone",
    "timestamp without time zone",
    "timestamp with time zone",
    "interval",
    "numeric",
    "uuid",
    "record",
];

/// `numeric(15,2)` → `numeric`, `15,2`.
fn split(name: &str) -> Option<(&str, Option<&str>)> {
    match name.split_once('(') {
        None => Some((name, None)),
        Some((plain, rest)) => Some((plain, Some(rest.strip_suffix(')')?))),
    }
}

fn modifier(plain: &str, arguments: &str) -> Option<i32> {
    match plain {
        "numeric" => {
            let (precision, scale) = arguments.split_once(',').unwrap_or((arguments, "0"));
            let (precision, scale): (u16, u16) = (precision.parse().ok()?, scale.parse().ok()?);
            // PostgreSQL's own limit of both, which keeps the sum in range.
            let fits = precision <= 1000 && scale <= 1000;
            fits.then(|| ((i32::from(precision) << 16) | i32::from(scale)) + HEADER)
        }
        "character varying" | "character" => arguments.parse::<i32>().ok()?.checked_add(HEADER),
        _ => None,
    }
}

/// OID of the type, OID of its array, bytes of a value.
fn oids(plain: &str) -> Option<(u32, u32, i16)> {
    Some(match plain {
        "boolean" => (16, 1000, 1),
        "bytea" => (17, 1001, -1),
        "bigint" => (20, 1016, 8),
        "smallint" => (21, 1005, 2),
        "integer" => (23, 1007, 4),
        "text" => (25, 1009, -1),
        "json" => (114, 199, -1),
        "real" => (700, 1021, 4),
        "double precision" => (701, 1022, 8),
        "character" => (1042, 1014, -1),
        "character varying" => (1043, 1015, -1),
        "date" => (1082, 1182, 4),
        "time without time zone" => (1083, 1183, 8),
        "timestamp without time zone" => (1114, 1115, 8),
        "timestamp with time zone" => (1184, 1185, 8),
        "interval" => (1186, 1187, 16),
        "numeric" => (1700, 1231, -1),
        "uuid" => (2950, 2951, 16),
        "record" => (2249, 2287, -1),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(name: &str) -> (u32, i16, i32) {
        let PgType { oid, bytes, modifier } = PgType::of_name(name).unwrap();
        (oid, bytes, modifier)
    }

    #[test]
    fn types_have_the_oids_and_modifiers_of_postgresql() {
        assert_eq!(told("integer"), (23, 4, -1));
        assert_eq!(told("numeric"), (1700, -1, -1));
        assert_eq!(told("numeric(15,2)"), (1700, -1, 983_046));
        assert_eq!(told("numeric(5)"), (1700, -1, 327_684));
        assert_eq!(told("character varying(25)"), (1043, -1, 29));
        assert_eq!(told("character(1)"), (1042, -1, 5));
        assert_eq!(told("timestamp with time zone"), (1184, 8, -1));
        assert_eq!(told("interval"), (1186, 16, -1));
    }

    #[test]
    fn arrays_have_their_items_modifier() {
        assert_eq!(told("integer[]"), (1007, -1, -1));
        assert_eq!(told("numeric(15,2)[]"), (1231, -1, 983_046));
    }

    #[test]
    fn oids_have_names() {
        for name in TYPES {
            assert_eq!(name_of_oid(told(name).0).as_deref(), Some(name));
        }
        assert_eq!(name_of_oid(1007).as_deref(), Some("integer[]"));
        assert_eq!(name_of_oid(705).as_deref(), Some("text"));
        assert_eq!(name_of_oid(0), None);
    }

    #[test]
    fn what_is_no_type_is_none() {
        for name in ["", "int4", "integer(3)", "numeric(", "numeric(x,2)", "numeric(65535,1)", "integer[][]"] {
            assert_eq!(PgType::of_name(name), None, "{name}");
        }
    }
}
