//! Where a table's rows go: the clause, or what takes its place.

use super::columns::positions;
use crate::error::{SqlError, SqlResult, SqlState};
use crate::sql::{DistributionClause, Name};
use damson_cluster::placement::hash_family;
use damson_cluster::{ColumnDef, Distribution, KeyDef};

/// The policy that `clause` asks for.
///
/// # Errors
/// 42703 and 42701 for the key's names; 42P16 for a type that cannot be hashed, or a key that one of `keys` does not
/// contain.
pub(super) fn of_clause(
    clause: &DistributionClause,
    columns: &[ColumnDef],
    keys: &[KeyDef],
) -> SqlResult<Distribution> {
    let distribution = match clause {
        DistributionClause::By(names) => {
            let key = positions(columns, names, "named in DISTRIBUTED BY ")?;
            for (position, name) in key.iter().zip(names) {
                check_hashable(&columns[*position], name)?;
            }
            Distribution::Hashed(key)
        }
        DistributionClause::Randomly => Distribution::Randomly,
        DistributionClause::Replicated => Distribution::Replicated,
    };
    check_keys(&distribution, columns, keys)?;
    Ok(distribution)
}

fn check_hashable(column: &ColumnDef, name: &Name) -> SqlResult<()> {
    if is_hashable(column) {
        return Ok(());
    }
    let message = format!("column \"{}\" of type {} cannot be in DISTRIBUTED BY", column.name, column.sql_type);
    Err(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message)
        .with_hint("Choose another column, or DISTRIBUTED RANDOMLY.")
        .at(name.position))
}

fn is_hashable(column: &ColumnDef) -> bool {
    hash_family(&column.data_type).is_some()
}

/// Equal keys must meet on one segment, or a duplicate could not be seen.
///
/// # Errors
/// 42P16 for the first key that does not contain the distribution key.
pub(super) fn check_keys(distribution: &Distribution, columns: &[ColumnDef], keys: &[KeyDef]) -> SqlResult<()> {
    let fits = |key: &KeyDef| match distribution {
        Distribution::Replicated => true,
        Distribution::Hashed(hashed) => hashed.iter().all(|column| key.columns.contains(column)),
        Distribution::Randomly => false,
    };
    let Some(key) = keys.iter().find(|key| !fits(key)) else { return Ok(()) };
    let kind = if key.primary { "PRIMARY KEY" } else { "UNIQUE" };
    let named: Vec<&str> = key.columns.iter().map(|&column| columns[column].name.as_str()).collect();
    let named = named.join(", ");
    let error = |message: String| SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message);
    Err(match distribution {
        Distribution::Randomly => error(format!("{kind} and DISTRIBUTED RANDOMLY are incompatible"))
            .with_hint(format!("Leave out the {kind}, or distribute by columns of it.")),
        _ => error(format!("{kind} and DISTRIBUTED BY definitions are incompatible"))
            .with_detail(format!("Key \"{}\" is of ({named}).", key.name))
            .with_hint(format!("Each column of DISTRIBUTED BY must be in the {kind}.")),
    })
}

/// The policy without a clause: the primary key, else what all keys have in common, else the first column that can be hashed, else
/// none; and the notice that says so.
///
/// # Errors
/// 42P16 where the keys have nothing in common.
pub(super) fn by_default(columns: &[ColumnDef], keys: &[KeyDef]) -> SqlResult<(Distribution, Option<String>)> {
    if let Some(first) = keys.iter().find(|key| key.primary).or(keys.first()) {
        let in_all = |column: &usize| keys.iter().all(|key| key.columns.contains(column));
        let common: Vec<usize> = first.columns.iter().copied().filter(in_all).collect();
        let distribution = Distribution::Hashed(if common.is_empty() { first.columns.clone() } else { common });
        check_keys(&distribution, columns, keys)?;
        return Ok((distribution, None));
    }
    match columns.iter().position(is_hashable) {
        Some(first) => {
            let notice = format!(
                "Table doesn't have 'DISTRIBUTED BY' clause -- Using column named '{}' as the distribution key for this \
                 table. The 'DISTRIBUTED BY' clause determines the distribution of data. Make sure column(s) chosen are \
                 the optimal data distribution key to minimize skew.",
                columns[first].name
            );
            Ok((Distribution::Hashed(vec![first]), Some(notice)))
        }
        None => {
            let notice = "Table doesn't have 'DISTRIBUTED BY' clause, and no column type is suitable for a distribution \
                          key. Using DISTRIBUTED RANDOMLY.";
            Ok((Distribution::Randomly, Some(notice.to_owned())))
        }
    }
}
