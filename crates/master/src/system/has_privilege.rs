//! `has_table_privilege` and its kin: `([role,] object, privileges)`, where role and object are names or OIDs, and privileges a list with
//! commas of which one is enough.

use super::functions::{Lookup, int, is_text, parts, relation_oid, undefined, word};
use super::pg_roles::role_of_oid;
use super::{INFORMATION_SCHEMA, PG_CATALOG, oids};
use crate::catalog::{Object, Privileges, RoleId};
use crate::error::SqlState;
use crate::sql::DATABASE;
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};

/// What the privileges are of, where that is one that has them.
enum Target {
    Object(Object),
    /// A system's, which everybody may read and nobody change.
    System,
    /// Nothing has that id.
    Unknown,
}

pub(super) fn of_relation(lookup: &Lookup, args: &[ScalarValue]) -> Result<ScalarValue> {
    asked(lookup, args, 2, |lookup, args| {
        let oid = match &args[0] {
            name if is_text(name) => {
                let name = word(args, 0)?.unwrap_or_default();
                let missing = || undefined(SqlState::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist"));
                relation_oid(lookup, &name)?.ok_or_else(missing)?
            }
            _ => int(args, 0)?.unwrap_or_default(),
        };
        let relation = lookup.state.relations().find(|relation| oids::of_relation(&lookup.state, relation) == oid);
        Ok(match relation {
            Some(relation) => Target::Object(Object::of(relation)),
            None if oid < oids::FIRST_USER && oid != 0 => Target::System,
            None => Target::Unknown,
        })
    })
}

/// Of a column: what is granted on its table, because nothing is granted on columns.
pub(super) fn of_column(lookup: &Lookup, args: &[ScalarValue]) -> Result<ScalarValue> {
    if args.iter().any(ScalarValue::is_null) || args.len() < 3 {
        return Ok(ScalarValue::Boolean(None));
    }
    let mut of_table = args.to_vec();
    of_table.remove(args.len() - 2);
    of_relation(lookup, &of_table)
}

pub(super) fn of_schema(lookup: &Lookup, args: &[ScalarValue]) -> Result<ScalarValue> {
    asked(lookup, args, 2, |lookup, args| {
        let schemas = oids::schemas(&lookup.state);
        let name = match &args[0] {
            name if is_text(name) => {
                let name = word(args, 0)?.unwrap_or_default();
                if !schemas.iter().any(|(_, known)| *known == name) {
                    return Err(undefined(SqlState::UNDEFINED_SCHEMA, format!("schema \"{name}\" does not exist")));
                }
                Some(name)
            }
            _ => {
                let oid = int(args, 0)?.unwrap_or_default();
                schemas.into_iter().find(|(known, _)| *known == oid).map(|(_, name)| name)
            }
        };
        Ok(match name {
            Some(name) if [PG_CATALOG, INFORMATION_SCHEMA].contains(&name.as_str()) => Target::System,
            Some(name) => Target::Object(Object::Schema(name)),
            None => Target::Unknown,
        })
    })
}

pub(super) fn of_database(lookup: &Lookup, args: &[ScalarValue]) -> Result<ScalarValue> {
    asked(lookup, args, 2, |_, args| match &args[0] {
        name if is_text(name) => match word(args, 0)?.unwrap_or_default() {
            name if name == DATABASE => Ok(Target::Object(Object::Database)),
            name => Err(undefined(SqlState::UNDEFINED_OBJECT, format!("database \"{name}\" does not exist"))),
        },
        _ => Ok(match int(args, 0)? {
            Some(oids::DATABASE_OID) => Target::Object(Object::Database),
            _ => Target::Unknown,
        }),
    })
}

/// `pg_has_role([role,] role, 'MEMBER' | 'USAGE')`.
pub(super) fn of_role(lookup: &Lookup, args: &[ScalarValue]) -> Result<ScalarValue> {
    if args.iter().any(ScalarValue::is_null) || args.len() < 2 {
        return Ok(ScalarValue::Boolean(None));
    }
    let (member, rest) = member(lookup, args, 2)?;
    let Some(role) = role(lookup, rest)? else { return Ok(ScalarValue::Boolean(None)) };
    let kinds = word(rest, 1)?.unwrap_or_default();
    let mut has = false;
    for kind in kinds.split(',') {
        has |= match kind.trim().to_ascii_uppercase().split(" WITH ").next().unwrap_or_default() {
            "MEMBER" => lookup.state.can_become(member, role),
            "USAGE" => lookup.state.inherits(member, role),
            _ => return Err(unrecognized(kind)),
        };
    }
    Ok(ScalarValue::Boolean(Some(has)))
}

/// `count` arguments come after the role, if that is there.
fn asked(
    lookup: &Lookup,
    args: &[ScalarValue],
    count: usize,
    find: impl FnOnce(&Lookup, &[ScalarValue]) -> Result<Target>,
) -> Result<ScalarValue> {
    if args.iter().any(ScalarValue::is_null) || args.len() < count {
        return Ok(ScalarValue::Boolean(None));
    }
    let (role, rest) = member(lookup, args, count)?;
    let target = find(lookup, rest)?;
    let kinds = word(rest, count - 1)?.unwrap_or_default();
    let mut has = false;
    for kind in kinds.split(',') {
        let (name, with_option) = match kind.trim().to_ascii_uppercase() {
            kind if kind.ends_with(" WITH GRANT OPTION") => {
                (kind.trim_end_matches(" WITH GRANT OPTION").trim_end().to_owned(), true)
            }
            kind => (kind, false),
        };
        // Nobody has triggers or rules.
        let privilege = match name.as_str() {
            "TRIGGER" | "RULE" => continue,
            name => Privileges::named(name).ok_or_else(|| unrecognized(kind))?,
        };
        has |= match &target {
            Target::Unknown => return Ok(ScalarValue::Boolean(None)),
            Target::System => {
                let reads = Privileges::SELECT.and(Privileges::USAGE).has(privilege);
                lookup.state.is_superuser(role) || (reads && !with_option)
            }
            Target::Object(object) if with_option => lookup.state.grantable(role, object).has(privilege),
            Target::Object(object) => lookup.state.may(role, object, privilege),
        };
    }
    Ok(ScalarValue::Boolean(Some(has)))
}

/// Whose privileges are asked for, and the other arguments.
fn member<'a>(lookup: &Lookup, args: &'a [ScalarValue], count: usize) -> Result<(RoleId, &'a [ScalarValue])> {
    if args.len() <= count {
        return Ok((lookup.role, args));
    }
    // Who is none has nothing.
    Ok((role(lookup, args)?.unwrap_or(RoleId::NOBODY), &args[1..]))
}

/// The role that the first argument names; None for an id that none has.
fn role(lookup: &Lookup, args: &[ScalarValue]) -> Result<Option<RoleId>> {
    let Some(first) = args.first() else { return Ok(None) };
    if !is_text(first) {
        return Ok(int(args, 0)?.and_then(|oid| role_of_oid(&lookup.state, oid)).map(|role| role.id));
    }
    let name = word(args, 0)?.unwrap_or_default();
    let name = parts(&name)?.into_iter().next().unwrap_or_default();
    let missing = || undefined(SqlState::UNDEFINED_OBJECT, format!("role \"{name}\" does not exist"));
    lookup.state.role(&name).map(|role| Some(role.id)).ok_or_else(missing)
}

fn unrecognized(kind: &str) -> DataFusionError {
    undefined(SqlState::INVALID_PARAMETER, format!("unrecognized privilege type: \"{}\"", kind.trim()))
}
