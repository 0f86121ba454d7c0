//! The logical operator that takes values.

use damson_cluster::Sequence;
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::{DFSchema, DFSchemaRef, internal_datafusion_err};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};
use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// A call of nextval, which becomes a column.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd)]
pub(crate) struct Call {
    pub sequence: Sequence,
    /// The column's name.
    pub column: String,
    /// Over the input: rows of which it is not true take no value.
    pub condition: Option<Expr>,
}

/// Its input with a column for each call. Becomes a [`NextValuesExec`](damson_motion::NextValuesExec).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NextValues {
    calls: Vec<Call>,
    input: LogicalPlan,
    schema: DFSchemaRef,
}

impl NextValues {
    pub(super) fn try_new(calls: Vec<Call>, input: LogicalPlan) -> Result<Self> {
        let new = calls.iter().map(|call| Field::new(&call.column, DataType::Int64, true));
        let new = DFSchema::from_unqualified_fields(new.collect::<Vec<_>>().into(), HashMap::new())?;
        let schema = Arc::new(input.schema().join(&new)?);
        Ok(NextValues { calls, input, schema })
    }

    pub(crate) fn calls(&self) -> &[Call] {
        &self.calls
    }
}

impl PartialOrd for NextValues {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (&self.calls, &self.input).partial_cmp(&(&other.calls, &other.input))
    }
}

impl UserDefinedLogicalNodeCore for NextValues {
    fn name(&self) -> &str {
        "NextValues"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.calls.iter().filter_map(|call| call.condition.clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let names: Vec<&str> = self.calls.iter().map(|call| call.sequence.name.as_str()).collect();
        write!(f, "NextValues: {}", names.join(", "))
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let mut exprs = exprs.into_iter();
        let mut calls = self.calls.clone();
        for call in calls.iter_mut().filter(|call| call.condition.is_some()) {
            call.condition = Some(exprs.next().ok_or_else(|| internal_datafusion_err!("a condition is missing"))?);
        }
        let input = inputs.pop().ok_or_else(|| internal_datafusion_err!("NextValues lacks its input"))?;
        NextValues::try_new(calls, input)
    }

    /// Values are taken whether or not they are used.
    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let given = self.input.schema().fields().len();
        Some(vec![output_columns.iter().copied().filter(|&column| column < given).collect()])
    }
}
