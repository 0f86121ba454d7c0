//! Slices to bytes and back: datafusion-proto for DataFusion's operators, this codec for ours. Both ends are of one
//! build (a segment of another is refused at registration), so there are no versions in here.

use crate::{
    CopyReadExec, CopyReadSpec, CopyWriteExec, CopyWriteSpec, FileScanExec, FileScanSpec, ForgetConstantsExec, Gang,
    HashFilterExec, Kept, MotionDef, MotionKind, MotionRecvExec, MotionSendExec, NextValuesExec, PlainTextExec,
    RetrieveExec, ScanSpec, SplitUpdateExec, SpoolExec, TableModifyExec, TableModifySpec, TableScanExec,
    TableWriteExec, TableWriteSpec,
};
use arrow::compute::SortOptions;
use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use damson_cluster::{MapVersion, MotionId, SegmentSet};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::bytes::{
    physical_plan_from_bytes_with_extension_codec, physical_plan_to_bytes_with_extension_codec,
};
use datafusion_proto::physical_plan::{
    PhysicalExtensionCodec, PhysicalPlanDecodeContext, PhysicalProtoConverterExtension,
};
use datafusion_proto::protobuf::PhysicalExprNode;
use prost::Message;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::sync::Arc;

/// A slice as a segment can decode it.
///
/// # Errors
/// An operator that cannot travel; the planner keeps those in slice 0, which is not sent.
pub fn encode_slice(plan: Arc<dyn ExecutionPlan>) -> Result<Bytes> {
    physical_plan_to_bytes_with_extension_codec(plan, &SliceCodec)
}

/// The inverse of [`encode_slice`]; functions are looked up in `context`'s registry.
///
/// # Errors
/// Bytes that are not a slice of this build.
pub fn decode_slice(bytes: &[u8], context: &TaskContext) -> Result<Arc<dyn ExecutionPlan>> {
    physical_plan_from_bytes_with_extension_codec(bytes, context, &SliceCodec)
}

/// datafusion-proto's extension point for our operators.
#[derive(Debug)]
pub struct SliceCodec;

/// One of our operators: which, its description as JSON, and its expressions.
#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(enumeration = "NodeType", tag = "1")]
    node_type: i32,
    #[prost(bytes = "vec", tag = "2")]
    description: Vec<u8>,
    #[prost(message, repeated, tag = "3")]
    expressions: Vec<PhysicalExprNode>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
enum NodeType {
    Unknown = 0,
    TableScan = 1,
    CopyRead = 2,
    TableWrite = 3,
    CopyWrite = 4,
    HashFilter = 5,
    MotionSend = 6,
    MotionRecv = 7,
    ForgetConstants = 8,
    Spool = 9,
    TableModify = 10,
    SplitUpdate = 11,
    NextValues = 12,
    FileScan = 13,
    PlainText = 14,
    Retrieve = 15,
}

#[derive(Serialize, Deserialize)]
struct Motion {
    id: MotionId,
    senders: Gang,
    receivers: Gang,
    kind: Kind,
    schema: SchemaRef,
}

/// [`Kept`] without keys.
#[derive(Serialize, Deserialize)]
enum KeptKind {
    Hashed,
    Leaving,
    Segments(SegmentSet),
}

/// [`MotionKind`] without its expressions.
#[derive(Serialize, Deserialize)]
enum Kind {
    Gather,
    /// Per expression: descending, nulls first.
    GatherMerge(Vec<(bool, bool)>),
    Redistribute(MapVersion),
    RoundRobin(MapVersion),
    Explicit,
    Broadcast,
}

impl PhysicalExtensionCodec for SliceCodec {
    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        buffer: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let encode_all = |expressions: Vec<&Arc<dyn PhysicalExpr>>| {
            expressions.into_iter().map(|e| converter.physical_expr_to_proto(e, self)).collect::<Result<Vec<_>>>()
        };
        let (node_type, description, expressions) = if let Some(scan) = node.downcast_ref::<TableScanExec>() {
            (NodeType::TableScan, to_json(scan.spec())?, vec![])
        } else if let Some(read) = node.downcast_ref::<CopyReadExec>() {
            (NodeType::CopyRead, to_json(read.spec())?, vec![])
        } else if let Some(scan) = node.downcast_ref::<FileScanExec>() {
            (NodeType::FileScan, to_json(scan.spec())?, vec![])
        } else if let Some(write) = node.downcast_ref::<TableWriteExec>() {
            (NodeType::TableWrite, to_json(write.spec())?, encode_all(write.checks().iter().collect())?)
        } else if let Some(modify) = node.downcast_ref::<TableModifyExec>() {
            (NodeType::TableModify, to_json(modify.spec())?, encode_all(modify.checks().iter().collect())?)
        } else if let Some(split) = node.downcast_ref::<SplitUpdateExec>() {
            (NodeType::SplitUpdate, to_json(split.spec())?, vec![])
        } else if let Some(next) = node.downcast_ref::<NextValuesExec>() {
            let (description, conditions) = next.describe();
            (NodeType::NextValues, to_json(&description)?, encode_all(conditions)?)
        } else if let Some(write) = node.downcast_ref::<CopyWriteExec>() {
            (NodeType::CopyWrite, to_json(write.spec())?, vec![])
        } else if let Some(filter) = node.downcast_ref::<HashFilterExec>() {
            let kept = match filter.kept() {
                Kept::Hashed(_) => KeptKind::Hashed,
                Kept::Leaving(_) => KeptKind::Leaving,
                Kept::Segments(segments) => KeptKind::Segments(segments.clone()),
            };
            let keys = encode_all(filter.kept().keys().iter().collect())?;
            (NodeType::HashFilter, to_json(&(filter.map(), kept))?, keys)
        } else if let Some(send) = node.downcast_ref::<MotionSendExec>() {
            let description = describe(send.def(), send.input().schema());
            (NodeType::MotionSend, to_json(&description)?, encode_all(expressions_of(&send.def().kind))?)
        } else if let Some(recv) = node.downcast_ref::<MotionRecvExec>() {
            let description = describe(recv.def(), recv.schema());
            (NodeType::MotionRecv, to_json(&description)?, encode_all(expressions_of(&recv.def().kind))?)
        } else if node.downcast_ref::<ForgetConstantsExec>().is_some() {
            (NodeType::ForgetConstants, vec![], vec![])
        } else if node.downcast_ref::<SpoolExec>().is_some() {
            (NodeType::Spool, vec![], vec![])
        } else if node.downcast_ref::<PlainTextExec>().is_some() {
            (NodeType::PlainText, vec![], vec![])
        } else if let Some(retrieve) = node.downcast_ref::<RetrieveExec>() {
            (NodeType::Retrieve, to_json(&retrieve.id())?, vec![])
        } else {
            return Err(DataFusionError::NotImplemented(format!("{} cannot run on a segment", node.name())));
        };
        let node = Node { node_type: node_type.into(), description, expressions };
        node.encode(buffer).map_err(|e| DataFusionError::External(Box::new(e)))
    }

    fn try_decode(
        &self,
        bytes: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let node = Node::decode(bytes).map_err(|e| DataFusionError::External(Box::new(e)))?;
        let input = || inputs.first().cloned().ok_or_else(|| malformed("an operator lacks its input"));
        let decode_all = |schema: &Schema| {
            let decode_context = PhysicalPlanDecodeContext::new(context, self);
            let decode = |e| converter.proto_to_physical_expr(e, schema, &decode_context);
            node.expressions.iter().map(decode).collect::<Result<Vec<_>>>()
        };
        Ok(match node.node_type() {
            NodeType::Unknown => return Err(malformed("an operator of unknown type")),
            NodeType::TableScan => Arc::new(TableScanExec::try_new(from_json::<ScanSpec>(&node.description)?, None)?),
            NodeType::CopyRead => Arc::new(CopyReadExec::new(from_json::<CopyReadSpec>(&node.description)?)),
            NodeType::FileScan => Arc::new(FileScanExec::try_new(from_json::<FileScanSpec>(&node.description)?, None)?),
            NodeType::TableWrite => {
                let spec = from_json::<TableWriteSpec>(&node.description)?;
                let checks = decode_all(&spec.schema)?;
                Arc::new(TableWriteExec::new(spec, checks, input()?))
            }
            NodeType::TableModify => {
                let spec = from_json::<TableModifySpec>(&node.description)?;
                let checks = decode_all(&spec.write.schema)?;
                Arc::new(TableModifyExec::new(spec, checks, input()?))
            }
            NodeType::SplitUpdate => Arc::new(SplitUpdateExec::new(from_json(&node.description)?, input()?)),
            NodeType::NextValues => {
                let input = input()?;
                let conditions = decode_all(&input.schema())?;
                Arc::new(NextValuesExec::of_description(from_json(&node.description)?, conditions, input)?)
            }
            NodeType::CopyWrite => {
                Arc::new(CopyWriteExec::new(from_json::<CopyWriteSpec>(&node.description)?, vec![], input()?))
            }
            NodeType::HashFilter => {
                let input = input()?;
                let (map, kept) = from_json(&node.description)?;
                let kept = match kept {
                    KeptKind::Hashed => Kept::Hashed(decode_all(&input.schema())?),
                    KeptKind::Leaving => Kept::Leaving(decode_all(&input.schema())?),
                    KeptKind::Segments(segments) => Kept::Segments(segments),
                };
                Arc::new(HashFilterExec::new(kept, map, input))
            }
            NodeType::MotionSend => {
                let (def, _) = define(from_json(&node.description)?, decode_all)?;
                Arc::new(MotionSendExec::new(def, input()?))
            }
            NodeType::MotionRecv => {
                let (def, schema) = define(from_json(&node.description)?, decode_all)?;
                Arc::new(MotionRecvExec::new(def, schema))
            }
            NodeType::ForgetConstants => Arc::new(ForgetConstantsExec::new(input()?)),
            NodeType::Spool => Arc::new(SpoolExec::new(input()?)),
            NodeType::PlainText => Arc::new(PlainTextExec::new(input()?)),
            NodeType::Retrieve => Arc::new(RetrieveExec::new(from_json(&node.description)?, input()?)),
        })
    }
}

fn describe(def: &MotionDef, schema: SchemaRef) -> Motion {
    let kind = match &def.kind {
        MotionKind::Gather { merge: None } => Kind::Gather,
        MotionKind::Gather { merge: Some(ordering) } => {
            Kind::GatherMerge(ordering.iter().map(|s| (s.options.descending, s.options.nulls_first)).collect())
        }
        MotionKind::Redistribute { map, .. } => Kind::Redistribute(*map),
        MotionKind::RoundRobin { map } => Kind::RoundRobin(*map),
        MotionKind::Explicit { .. } => Kind::Explicit,
        MotionKind::Broadcast => Kind::Broadcast,
    };
    Motion { id: def.id, senders: def.senders.clone(), receivers: def.receivers.clone(), kind, schema }
}

fn expressions_of(kind: &MotionKind) -> Vec<&Arc<dyn PhysicalExpr>> {
    match kind {
        MotionKind::Gather { merge: Some(ordering) } => ordering.iter().map(|s| &s.expr).collect(),
        other => other.routing().iter().collect(),
    }
}

/// The inverse of [`describe`] and [`expressions_of`].
fn define(
    motion: Motion,
    decode_all: impl FnOnce(&Schema) -> Result<Vec<Arc<dyn PhysicalExpr>>>,
) -> Result<(MotionDef, SchemaRef)> {
    let expressions = decode_all(&motion.schema)?;
    let kind = match motion.kind {
        Kind::Gather => MotionKind::Gather { merge: None },
        Kind::GatherMerge(options) => {
            let sort = |(expr, (descending, nulls_first))| {
                PhysicalSortExpr::new(expr, SortOptions { descending, nulls_first })
            };
            let ordering = LexOrdering::new(expressions.into_iter().zip(options).map(sort));
            MotionKind::Gather { merge: Some(ordering.ok_or_else(|| malformed("a merge without a key"))?) }
        }
        Kind::Redistribute(map) => MotionKind::Redistribute { keys: expressions, map },
        Kind::RoundRobin(map) => MotionKind::RoundRobin { map },
        Kind::Explicit => {
            let segment = expressions.into_iter().next().ok_or_else(|| malformed("rows that name no segment"))?;
            MotionKind::Explicit { segment }
        }
        Kind::Broadcast => MotionKind::Broadcast,
    };
    let def = MotionDef { id: motion.id, kind, senders: motion.senders, receivers: motion.receivers };
    Ok((def, motion.schema))
}

fn to_json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|e| DataFusionError::External(Box::new(e)))
}

fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| DataFusionError::External(Box::new(e)))
}

fn malformed(what: &str) -> DataFusionError {
    DataFusionError::Internal(format!("malformed slice: {what}"))
}
