//! Walks over a statement's tree.
//!
//! sqlparser's `visit` is generic: every visitor gets code of its own for each node of the tree. A dozen of them were half of this crate's
//! machine code. Here all visitors share one walk, which calls them through a table.

use sqlparser::ast::{
    Expr, ObjectName, Query, Select, Statement, TableFactor, ValueWithSpan, Visit, VisitMut, Visitor, VisitorMut,
};
use std::ops::ControlFlow;

/// Shows a visitor all that is below a node, and the node, until it breaks.
pub(crate) fn walk<N: Visit, V: Visitor>(node: &N, visitor: &mut V) -> ControlFlow<V::Break> {
    let mut keeping = Keeping { visitor, broken: None };
    let end = node.visit(&mut Shared(&mut keeping));
    ended(end, keeping.broken)
}

/// As [`walk`]; the visitor may change what it is shown.
pub(crate) fn walk_mut<N: VisitMut, V: VisitorMut>(node: &mut N, visitor: &mut V) -> ControlFlow<V::Break> {
    let mut keeping = KeepingMut { visitor, broken: None };
    let end = node.visit(&mut SharedMut(&mut keeping));
    ended(end, keeping.broken)
}

fn ended<B>(end: ControlFlow<()>, broken: Option<B>) -> ControlFlow<B> {
    match (end, broken) {
        (ControlFlow::Continue(()), _) => ControlFlow::Continue(()),
        (ControlFlow::Break(()), broken) => ControlFlow::Break(broken.expect("what a visitor broke with is kept")),
    }
}

/// A visitor of any kind, as the one kind that trees are walked with.
struct Shared<'a>(&'a mut dyn Visitor<Break = ()>);
struct SharedMut<'a>(&'a mut dyn VisitorMut<Break = ()>);

/// Breaks with nothing, and keeps what its visitor broke with.
struct Keeping<'a, V: Visitor> {
    visitor: &'a mut V,
    broken: Option<V::Break>,
}

struct KeepingMut<'a, V: VisitorMut> {
    visitor: &'a mut V,
    broken: Option<V::Break>,
}

fn keep<B>(end: ControlFlow<B>, broken: &mut Option<B>) -> ControlFlow<()> {
    match end {
        ControlFlow::Continue(()) => ControlFlow::Continue(()),
        ControlFlow::Break(value) => {
            *broken = Some(value);
            ControlFlow::Break(())
        }
    }
}

/// The methods of both traits, which differ in what may be done with the node.
macro_rules! hand_on {
    ($(($pre:ident, $post:ident, $node:ty)),* $(,)?) => {
        hand_on!(shared Visitor, Shared, Keeping; $($pre &$node, $post &$node),*);
        hand_on!(shared VisitorMut, SharedMut, KeepingMut; $($pre &mut $node, $post &mut $node),*);
    };
    (shared $visitor:ident, $shared:ident, $keeping:ident; $($method:ident $node:ty),*) => {
        impl $visitor for $shared<'_> {
            type Break = ();
            $(fn $method(&mut self, node: $node) -> ControlFlow<()> {
                self.0.$method(node)
            })*
        }

        impl<V: $visitor> $visitor for $keeping<'_, V> {
            type Break = ();
            $(fn $method(&mut self, node: $node) -> ControlFlow<()> {
                keep(self.visitor.$method(node), &mut self.broken)
            })*
        }
    };
}

hand_on! {
    (pre_visit_query, post_visit_query, Query),
    (pre_visit_select, post_visit_select, Select),
    (pre_visit_relation, post_visit_relation, ObjectName),
    (pre_visit_table_factor, post_visit_table_factor, TableFactor),
    (pre_visit_expr, post_visit_expr, Expr),
    (pre_visit_statement, post_visit_statement, Statement),
    (pre_visit_value, post_visit_value, ValueWithSpan),
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlparser::dialect::GenericDialect;
    use sqlparser::parser::Parser;

    struct Relations {
        seen: Vec<String>,
        stop_at: &'static str,
    }

    impl Visitor for Relations {
        type Break = String;
        fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<String> {
            self.seen.push(relation.to_string());
            if relation.to_string() == self.stop_at {
                ControlFlow::Break(self.seen.join(" "))
            } else {
                ControlFlow::Continue(())
            }
        }
    }

    struct Replace;

    impl VisitorMut for Replace {
        type Break = ();
        fn post_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<()> {
            value.value = sqlparser::ast::Value::Null;
            ControlFlow::Continue(())
        }
    }

    #[test]
    fn a_visitor_sees_all_and_ends_where_it_wants() {
        let sql = "SELECT * FROM a WHERE x IN (SELECT y FROM b WHERE z = 'c' OR EXISTS (SELECT 1 FROM d))";
        let mut statement = Parser::parse_sql(&GenericDialect {}, sql).unwrap().remove(0);
        let mut all = Relations { seen: vec![], stop_at: "none" };
        assert!(walk(&statement, &mut all).is_continue());
        assert_eq!(all.seen, ["a", "b", "d"]);
        let mut some = Relations { seen: vec![], stop_at: "b" };
        assert_eq!(walk(&statement, &mut some), ControlFlow::Break("a b".into()));
        assert!(walk_mut(&mut statement, &mut Replace).is_continue());
        assert!(statement.to_string().contains("z = NULL OR EXISTS (SELECT NULL FROM d)"), "{statement}");
    }
}
