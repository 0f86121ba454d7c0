//! Where a table's rows go: the clause, or what takes its place.

use super::columns::positions;
use crate::error::{SqlError, SqlResult, SqlState};
use crate::sql::{DistributionClause, Name};
use damson_cluster::placement::hash_family;
use damson_cluster::{ColumnDef, Distribution};

/// The policy that `clause` asks for.
///
/// # Errors
/// 42703 and 42701 for the key's names; 42P16 for a type that cannot be hashed, or a key that the primary key does not
/// contain.
pub(super) fn of_clause(
    clause: &DistributionClause,
    columns: &[ColumnDef],
    primary_key: &[usize],
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
    check_primary_key(&distribution, primary_key)?;
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
fn check_primary_key(distribution: &Distribution, primary_key: &[usize]) -> SqlResult<()> {
    if primary_key.is_empty() {
        return Ok(());
    }
    let (message, hint) = match distribution {
        Distribution::Replicated => return Ok(()),
        Distribution::Hashed(key) if key.iter().all(|column| primary_key.contains(column)) => return Ok(()),
        Distribution::Hashed(_) => (
            "PRIMARY KEY and DISTRIBUTED BY definitions are incompatible",
            "Each column of DISTRIBUTED BY must be in the PRIMARY KEY.",
        ),
        Distribution::Randomly => (
            "PRIMARY KEY and DISTRIBUTED RANDOMLY are incompatible",
            "Leave out the PRIMARY KEY, or distribute by columns of it.",
        ),
    };
    Err(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message).with_hint(hint))
}

/// The policy without a clause: the primary key, else the first column that can be hashed, else none; and the notice that
/// says so.
pub(super) fn by_default(columns: &[ColumnDef], primary_key: &[usize]) -> (Distribution, Option<String>) {
    if !primary_key.is_empty() && primary_key.iter().all(|column| is_hashable(&columns[*column])) {
        return (Distribution::Hashed(primary_key.to_vec()), None);
    }
    match columns.iter().position(is_hashable) {
        // A primary key must contain the key, and here it cannot.
        Some(first) if primary_key.is_empty() => {
            let notice = format!(
                "Table doesn't have 'DISTRIBUTED BY' clause -- Using column named '{}' as the distribution key for this \
                 table. The 'DISTRIBUTED BY' clause determines the distribution of data. Make sure column(s) chosen are \
                 the optimal data distribution key to minimize skew.",
                columns[first].name
            );
            (Distribution::Hashed(vec![first]), Some(notice))
        }
        _ => {
            let notice = "Table doesn't have 'DISTRIBUTED BY' clause, and no column type is suitable for a distribution \
                          key. Using DISTRIBUTED RANDOMLY.";
            (Distribution::Randomly, Some(notice.to_owned()))
        }
    }
}
