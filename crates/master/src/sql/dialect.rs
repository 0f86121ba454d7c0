//! PostgreSQL's dialect, guarded: sqlparser tries some constructs twice at each level, which nesting makes exponential.

use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, ObjectName,
};
use sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token};
use std::any::TypeId;
use std::cell::Cell;

/// Steps (parsed operands) of any statement; `nullif(nullif(…` with an error inside spends them in a fraction of a second.
const STEPS_MIN: usize = 100_000;
/// And of each token of a long one. Usual text takes less than two.
const STEPS_PER_TOKEN: usize = 64;

/// [`PostgreSqlDialect`] that counts the parser's steps, and gives up when there are too many. One a statement.
#[derive(Debug)]
pub(super) struct Guarded {
    steps_left: Cell<usize>,
    /// The token farthest into the text that the parser looked at: where the error is, if it gave up.
    farthest: Cell<Option<Location>>,
    /// Whether a table may have a version: AT and BEFORE are no aliases then.
    versions: Cell<bool>,
}

impl Guarded {
    pub fn new() -> Self {
        Guarded { steps_left: Cell::new(STEPS_MIN), farthest: Cell::new(None), versions: Cell::new(false) }
    }

    /// Starts on a text of so many tokens, with `FOR SYSTEM_TIME AS OF` or without.
    pub fn restart(&self, tokens: usize, versions: bool) {
        self.versions.set(versions);
        self.steps_left.set(STEPS_MIN + STEPS_PER_TOKEN * tokens);
        self.farthest.set(None);
    }

    /// If the parser gave up: where it was.
    pub fn gave_up(&self) -> Option<Location> {
        if self.steps_left.get() > 0 { None } else { self.farthest.get() }
    }

    fn look(&self, parser: &Parser<'_>) {
        let token = parser.peek_token_ref();
        // The end has no location of its own, and is farther than anything.
        let end = Location::new(u64::MAX, 0);
        let location = if token.token == Token::EOF { end } else { token.span.start };
        if self.farthest.get().is_none_or(|farthest| farthest < location) {
            self.farthest.set(Some(location));
        }
    }
}

fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    let args = arguments.into_iter().map(|argument| FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))).collect();
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: vec![] }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}

/// The one dialect beneath.
const POSTGRESQL: PostgreSqlDialect = PostgreSqlDialect {};

/// Features of [`PostgreSqlDialect`]; what is not named is off in both.
macro_rules! forward {
    ($($feature:ident),* $(,)?) => { $(fn $feature(&self) -> bool { POSTGRESQL.$feature() })* };
}

impl Dialect for Guarded {
    fn dialect(&self) -> TypeId {
        POSTGRESQL.dialect()
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        self.look(parser);
        match self.steps_left.get().checked_sub(1) {
            Some(left @ 1..) => {
                self.steps_left.set(left);
                None
            }
            _ => {
                self.steps_left.set(0);
                Some(Err(ParserError::RecursionLimitExceeded))
            }
        }
    }

    /// IS [NOT] DISTINCT FROM: sqlparser takes all that follows, ANDs too, for its right side. AT TIME ZONE: a function, as
    /// for PostgreSQL; DataFusion makes a cast of it.
    fn parse_infix(&self, parser: &mut Parser, left: &Expr, precedence: u8) -> Option<Result<Expr, ParserError>> {
        if parser.parse_keywords(&[Keyword::AT, Keyword::TIME, Keyword::ZONE]) {
            return Some(parser.parse_subexpr(precedence).map(|zone| call("timezone", vec![zone, left.clone()])));
        }
        const NOT_DISTINCT: [Keyword; 4] = [Keyword::IS, Keyword::NOT, Keyword::DISTINCT, Keyword::FROM];
        const DISTINCT: [Keyword; 3] = [Keyword::IS, Keyword::DISTINCT, Keyword::FROM];
        let negated = parser.parse_keywords(&NOT_DISTINCT);
        if !negated && !parser.parse_keywords(&DISTINCT) {
            return None;
        }
        let right = parser.parse_subexpr(self.prec_value(Precedence::Is));
        Some(right.map(|right| {
            let (left, right) = (Box::new(left.clone()), Box::new(right));
            if negated { Expr::IsNotDistinctFrom(left, right) } else { Expr::IsDistinctFrom(left, right) }
        }))
    }

    fn supports_table_versioning(&self) -> bool {
        self.versions.get()
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        self.look(parser);
        POSTGRESQL.get_next_precedence(parser)
    }

    /// ON is none, as PostgreSQL has it: `INSERT … SELECT 1 ON CONFLICT …`.
    fn is_column_alias(&self, keyword: &Keyword, parser: &mut Parser) -> bool {
        *keyword != Keyword::ON && POSTGRESQL.is_column_alias(keyword, parser)
    }

    /// `f(expression : value)` of json_object, for which each argument of every function is parsed twice: off, unlike
    /// PostgreSQL's.
    fn supports_named_fn_args_with_expr_name(&self) -> bool {
        false
    }

    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        POSTGRESQL.identifier_quote_style(identifier)
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        POSTGRESQL.is_delimited_identifier_start(ch)
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        POSTGRESQL.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        POSTGRESQL.is_identifier_part(ch)
    }

    fn is_reserved_for_identifier(&self, keyword: Keyword) -> bool {
        POSTGRESQL.is_reserved_for_identifier(keyword)
    }

    fn is_custom_operator_part(&self, ch: char) -> bool {
        POSTGRESQL.is_custom_operator_part(ch)
    }

    fn prec_value(&self, precedence: Precedence) -> u8 {
        POSTGRESQL.prec_value(precedence)
    }

    forward!(
        allow_extract_custom,
        allow_extract_single_quotes,
        supports_alter_column_type_using,
        supports_array_typedef_with_brackets,
        supports_bitwise_shift_operators,
        supports_comma_separated_trim,
        supports_comment_on,
        supports_comment_optimizer_hint,
        supports_create_index_with_clause,
        supports_create_table_like_parenthesized,
        supports_empty_projections,
        supports_explain_with_utility_options,
        supports_factorial_operator,
        supports_filter_during_aggregation,
        supports_geometric_types,
        supports_group_by_expr,
        supports_insert_table_alias,
        supports_interval_options,
        supports_listen_notify,
        supports_load_extension,
        supports_named_fn_args_with_colon_operator,
        supports_nested_comments,
        supports_notnull_operator,
        supports_numeric_literal_underscores,
        supports_select_wildcard_with_alias,
        supports_set_names,
        supports_string_escape_constant,
        supports_unicode_string_literal,
        supports_xml_expressions,
    );
}
