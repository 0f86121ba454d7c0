//! PRIMARY KEY, UNIQUE and CHECK: their names, columns and texts.

use super::columns::positions;
use crate::error::{SqlError, SqlResult, SqlState};
use crate::sql::{self, CheckSpec, Including, KeySpec, Name};
use crate::sql::{walk, walk_mut};
use damson_cluster::placement::hash_family;
use damson_cluster::{CheckDef, ColumnDef, KeyDef, TableDef};
use datafusion::arrow::datatypes::DataType;
use sqlparser::ast::{Expr, Ident, Visitor, VisitorMut};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// A table's constraints while they are defined.
pub(super) struct Constraints {
    /// Unqualified.
    pub table: String,
    pub keys: Vec<KeyDef>,
    pub checks: Vec<CheckDef>,
}

impl Constraints {
    pub(super) fn of(table: &TableDef) -> Self {
        Constraints { table: table.name.clone(), keys: table.keys.clone(), checks: table.checks.clone() }
    }

    /// Adds a key; the columns of a primary one become NOT NULL.
    ///
    /// # Errors
    /// 42703, 42701; 42710 for a name that is taken; 42P16 for another primary key; 0A000 for a column whose type cannot be a key's.
    pub(super) fn add_key(&mut self, spec: &KeySpec, columns: &mut [ColumnDef]) -> SqlResult<()> {
        let key = positions(columns, &spec.columns, "named in key ")?;
        for (position, name) in key.iter().zip(&spec.columns) {
            let column = &columns[*position];
            if hash_family(&column.data_type).is_none() || matches!(column.data_type, DataType::Interval(_)) {
                let message = format!("column \"{}\" of type {} cannot be in a key", column.name, column.sql_type);
                return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message).at(name.position));
            }
        }
        if spec.primary && self.keys.iter().any(|key| key.primary) {
            let message = format!("multiple primary keys for table \"{}\" are not allowed", self.table);
            let error = SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message);
            return Err(spec.columns.first().map_or(error.clone(), |first| error.at(first.position)));
        }
        let base = if spec.primary {
            format!("{}_pkey", self.table)
        } else {
            let names = key.iter().map(|&position| columns[position].name.as_str());
            format!("{}_{}_key", self.table, names.collect::<Vec<_>>().join("_"))
        };
        let name = self.name(spec.name.as_ref(), base)?;
        if spec.primary {
            key.iter().for_each(|&position| columns[position].nullable = false);
        }
        self.keys.push(KeyDef { name, columns: key, primary: spec.primary });
        Ok(())
    }

    /// Adds a check. That it can be evaluated is the session's to find out.
    ///
    /// # Errors
    /// 42710; 42P01 for a column of another table.
    pub(super) fn add_check(&mut self, spec: &CheckSpec, columns: &[ColumnDef]) -> SqlResult<()> {
        let mut expression = sql::parse_expression(&spec.expression)?;
        let mut unqualify = Unqualify { table: &self.table };
        if let ControlFlow::Break(error) = walk_mut(&mut expression, &mut unqualify) {
            return Err(error.at(spec.position));
        }
        let mut named = Named { columns, found: BTreeSet::new() };
        let _ = walk(&expression, &mut named);
        // As PostgreSQL: after the column that it names, if it names one.
        let base = match named.found.first() {
            Some(only) if named.found.len() == 1 => format!("{}_{}_check", self.table, columns[*only].name),
            _ => format!("{}_check", self.table),
        };
        let name = self.name(spec.name.as_ref(), base)?;
        self.checks.push(CheckDef { name, expression: expression.to_string() });
        Ok(())
    }

    /// Takes over what LIKE includes of another table's; keys get this one's names.
    pub(super) fn copy(&mut self, other: &TableDef, including: &Including, columns: &[ColumnDef]) {
        if including.indexes {
            for key in &other.keys {
                let names = key.columns.iter().map(|&position| columns[position].name.as_str());
                let name = match key.primary {
                    true => format!("{}_pkey", self.table),
                    false => format!("{}_{}_key", self.table, names.collect::<Vec<_>>().join("_")),
                };
                self.keys.push(KeyDef { name: self.free(name), ..key.clone() });
            }
        }
        if including.constraints {
            self.checks.extend(other.checks.iter().cloned());
        }
    }

    fn free(&self, base: String) -> String {
        let taken = |name: &str| self.names().any(|other| other == name);
        if !taken(&base) {
            return base;
        }
        (1..).map(|n| format!("{base}{n}")).find(|name| !taken(name)).unwrap_or(base)
    }

    /// The name that was given, or one that is free.
    fn name(&self, given: Option<&Name>, base: String) -> SqlResult<String> {
        let taken = |name: &str| self.names().any(|other| other == name);
        match given {
            Some(name) if taken(&name.text) => Err(exists(&name.text, &self.table).at(name.position)),
            Some(name) => Ok(name.text.clone()),
            None => Ok(self.free(base)),
        }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| key.name.as_str()).chain(self.checks.iter().map(|check| check.name.as_str()))
    }
}

pub(super) fn exists(constraint: &str, table: &str) -> SqlError {
    let message = format!("constraint \"{constraint}\" for relation \"{table}\" already exists");
    SqlError::new(SqlState::DUPLICATE_OBJECT, message)
}

/// The check with a column under its new name.
pub(super) fn rename_column(check: &CheckDef, from: &str, to: &str) -> SqlResult<CheckDef> {
    let mut expression = sql::parse_expression(&check.expression)?;
    let _ = walk_mut(&mut expression, &mut Rename { from, to });
    Ok(CheckDef { expression: expression.to_string(), ..check.clone() })
}

/// Takes the table's name away from its columns: the table may get another one.
struct Unqualify<'a> {
    table: &'a str,
}

impl VisitorMut for Unqualify<'_> {
    type Break = SqlError;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        if let Expr::CompoundIdentifier(parts) = expr {
            let before = parts.len().saturating_sub(2);
            match parts.get(before..) {
                Some([table, column]) if sql::fold(table) == self.table => *expr = Expr::Identifier(column.clone()),
                _ => {
                    let name = parts.iter().map(Ident::to_string).collect::<Vec<_>>().join(".");
                    let message = format!("invalid reference \"{name}\" in a check of table \"{}\"", self.table);
                    return ControlFlow::Break(SqlError::new(SqlState::UNDEFINED_TABLE, message));
                }
            }
        }
        ControlFlow::Continue(())
    }
}

struct Named<'a> {
    columns: &'a [ColumnDef],
    found: BTreeSet<usize>,
}

impl Visitor for Named<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Identifier(ident) = expr {
            let name = sql::fold(ident);
            self.found.extend(self.columns.iter().position(|column| column.name == name));
        }
        ControlFlow::Continue(())
    }
}

struct Rename<'a> {
    from: &'a str,
    to: &'a str,
}

impl VisitorMut for Rename<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Identifier(ident) = expr
            && sql::fold(ident) == self.from
        {
            *ident = Ident::with_quote('"', self.to);
        }
        ControlFlow::Continue(())
    }
}
