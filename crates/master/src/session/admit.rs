//! A statement's place among those that work on segments.

use super::Session;
use super::backup::until;
use super::bind::Bound;
use crate::admission::Admitted;
use crate::catalog::CatalogState;
use crate::engine::{DamsonTable, FileTable};
use crate::error::{SqlResult, internal, of_datafusion};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::source_as_provider;
use datafusion::error::Result;
use datafusion::logical_expr::LogicalPlan;
use tokio_util::sync::CancellationToken;

impl Session {
    /// Waits for a query's place, in turn. What segments have no part in, such as a query of the catalog, has none.
    ///
    /// # Errors
    /// As [`Session::admit`].
    pub(super) async fn admit_query(&self, bound: &Bound, cancel: &CancellationToken) -> SqlResult<Admitted> {
        match reads_segments(&bound.plan).map_err(of_datafusion)? {
            true => self.admit(bound.names.state(), cancel).await,
            false => Ok(Admitted::without_place()),
        }
    }

    /// Waits for a statement's place, in turn; before it is planned, after it has locked what it locks: who has a place waits for no lock. A
    /// superuser's statements have none, nor have those of the master itself.
    ///
    /// # Errors
    /// 57014 when it is cancelled meanwhile.
    pub(super) async fn admit(&self, state: &CatalogState, cancel: &CancellationToken) -> SqlResult<Admitted> {
        if self.place.is_none() || state.is_superuser(self.acting_role(state)) {
            return Ok(Admitted::without_place());
        }
        let (admitted, waits) = self.master.admission.ask(self.activity.is_serial().then_some(self.id));
        if let Some(told) = waits {
            let _queued = self.activity.queue();
            until(cancel, async { told.await.map_err(internal) }).await?;
        }
        Ok(admitted)
    }
}

/// Whether a plan has a leaf that segments read.
fn reads_segments(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        let LogicalPlan::TableScan(scan) = node else { return Ok(TreeNodeRecursion::Continue) };
        let provider = source_as_provider(&scan.source)?;
        found = match provider.get_logical_plan() {
            Some(view) => reads_segments(&view)?,
            None => provider.downcast_ref::<DamsonTable>().is_some() || provider.downcast_ref::<FileTable>().is_some(),
        };
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}
