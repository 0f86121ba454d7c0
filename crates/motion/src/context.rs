//! What an operator must know of the QE that runs it.

use damson_cluster::{BucketMap, ContentId, MapVersion, MotionId, QueryId, RouteKey, Topology};
use damson_interconnect::{Node, RouteError};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use std::collections::HashMap;
use std::sync::Arc;

/// One QE of one query: who it is and how it reaches the others. Made by the segment (and by the master for slice 0)
/// when a query arrives; operators find it among the session configuration's extensions.
pub struct QeContext {
    pub query: QueryId,
    pub content: ContentId,
    pub node: Arc<Node>,
    pub topology: Arc<Topology>,
    pub maps: HashMap<MapVersion, Arc<BucketMap>>,
    /// Turns a slice's failure into what travels to the receivers of its motions.
    pub describe_error: fn(&DataFusionError) -> RouteError,
}

impl QeContext {
    /// The context of the QE that runs `task`.
    ///
    /// # Errors
    /// Outside a QE: a slice's operator was executed by something that is not Damson.
    pub fn of(task: &TaskContext) -> Result<Arc<QeContext>> {
        task.session_config()
            .get_extension::<QeContext>()
            .ok_or_else(|| DataFusionError::Internal("an operator of a slice runs outside a QE".into()))
    }

    /// The bucket map of a version that the plan names.
    ///
    /// # Errors
    /// The master did not send it.
    pub fn map(&self, version: MapVersion) -> Result<Arc<BucketMap>> {
        let map = self.maps.get(&version).cloned();
        map.ok_or_else(|| DataFusionError::Internal(format!("{}: bucket map {version} is missing", self.query)))
    }

    pub(crate) fn route(&self, motion: MotionId, sender: ContentId, receiver: ContentId) -> RouteKey {
        RouteKey { query: self.query, motion, sender, receiver }
    }
}
