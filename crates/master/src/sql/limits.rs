//! How complex a statement may be. A tree that is too deep overflows a stack somewhere (parsing, planning, dropping) and
//! takes the whole process with it, so depth is bounded before anything recursive sees the text.

/// Longest statement. COPY is the way to load; PostgreSQL's own limit is 1 GiB.
pub(super) const STATEMENT_BYTES_MAX: usize = 64 << 20;

/// Options of a secret, and bytes of one of them: a service account's key in JSON has 2,400.
pub(super) const SECRET_OPTIONS_MAX: usize = 64;
pub(super) const SECRET_VALUE_BYTES_MAX: usize = 64 << 10;

/// Entries of a select list, those of `*` among them, as in PostgreSQL: planning takes time for each.
pub(crate) const TARGETS_MAX: usize = 1_664;

/// Nested parentheses, brackets, and CASE. Generated SQL rarely passes 30.
pub(super) const NESTING_MAX: usize = 128;

/// Depth of a statement's tree, in levels of an operator: `a OR b OR …` is as deep as it is long. IN lists, VALUES and select
/// lists are flat and not bounded. Copying a tree takes 1.1 KiB of stack a level (measured), and a thread of the runtime has
/// 2 MiB.
pub(super) const DEPTH_MAX: usize = 1_000;

/// A pair of parentheses takes as much stack as so many operators,
pub(super) const PARENTHESES_WEIGHT: usize = 4;
/// a subquery so many more,
pub(super) const QUERY_WEIGHT: usize = 16;
/// parentheses with joins inside,
pub(super) const JOIN_WEIGHT: usize = 4;
/// and each UNION, INTERSECT or EXCEPT.
pub(super) const SET_OPERATION_WEIGHT: usize = 3;

/// UNION, INTERSECT and EXCEPT of one query level: each is one more level of the plan.
pub(super) const SET_OPERATIONS_MAX: usize = 250;

/// JOINs of one query level: each is one more level of the plan.
pub(super) const JOINS_MAX: usize = 500;

/// The parser's own bound, which is not to be met: it reports it badly. The parser counts one for each prefix operator
/// (`NOT NOT x`), and one for each query, table factor and step in precedence (`a OR b AND c = d + (…)`): at most 16 a level
/// of parentheses. Its recursive functions grow their stack by themselves.
pub(super) const PARSER_DEPTH_MAX: usize = DEPTH_MAX + 16 * NESTING_MAX;
