//! `GetSqlInfo`: what the server says of itself. JDBC's driver asks for all that there is, and fails where a value is missing.

use super::limits::REQUEST_BYTES_MAX;
use super::status::status;
use crate::ddl::COLUMNS_MAX;
use crate::error::internal;
use crate::sql::{NAME_BYTES_MAX, TARGETS_MAX};
use arrow_flight::sql::metadata::{SqlInfoData, SqlInfoDataBuilder};
use arrow_flight::sql::{
    SqlInfo, SqlNullOrdering, SqlOuterJoinsSupportLevel, SqlSupportedCaseSensitivity, SqlSupportedElementActions,
    SqlSupportedGroupBy, SqlSupportedResultSetConcurrency, SqlSupportedResultSetType, SqlSupportedSubqueries,
    SqlSupportedTransaction, SqlSupportedUnions, SqlSupportsConvert, SqlTransactionIsolationLevel, SupportedSqlGrammar,
};
use std::collections::BTreeMap;
use tonic::Status;

/// As JDBC says that there is no limit, or none that is known.
const UNLIMITED: i64 = 0;

/// Of the protocol's `SupportedAnsi92SqlGrammarLevel`, which arrow-flight keeps to itself.
const ANSI92_ENTRY_SQL: i32 = 0;

/// Fixed for a server's life. An empty list of wanted infos means all of them.
pub(super) fn sql_info() -> Result<SqlInfoData, Status> {
    let mut info = SqlInfoDataBuilder::new();
    add_server(&mut info);
    add_names(&mut info);
    add_functions(&mut info);
    add_grammar(&mut info);
    add_limits(&mut info);
    add_transactions(&mut info);
    add_results(&mut info);
    info.build().map_err(|e| status(&internal(e)))
}

fn add_server(info: &mut SqlInfoDataBuilder) {
    info.append(SqlInfo::FlightSqlServerName, "Damson");
    info.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    info.append(SqlInfo::FlightSqlServerArrowVersion, "1.5");
    info.append(SqlInfo::FlightSqlServerReadOnly, false);
    info.append(SqlInfo::FlightSqlServerSql, true);
    info.append(SqlInfo::FlightSqlServerSubstrait, false);
    info.append(SqlInfo::FlightSqlServerTransaction, SqlSupportedTransaction::Savepoint as i32);
    info.append(SqlInfo::FlightSqlServerCancel, true);
    info.append(SqlInfo::FlightSqlServerBulkIngestion, true);
    info.append(SqlInfo::FlightSqlServerIngestTransactionsSupported, true);
    info.append(SqlInfo::FlightSqlServerStatementTimeout, 0i32);
    info.append(SqlInfo::FlightSqlServerTransactionTimeout, 600_000i32);
    info.append(SqlInfo::SqlDdlCatalog, false);
    info.append(SqlInfo::SqlDdlSchema, true);
    info.append(SqlInfo::SqlDdlTable, true);
}

fn add_names(info: &mut SqlInfoDataBuilder) {
    info.append(SqlInfo::SqlIdentifierCase, i64::from(SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i32));
    info.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    // Quoted names keep their case and are told apart by it.
    info.append(
        SqlInfo::SqlQuotedIdentifierCase,
        i64::from(SqlSupportedCaseSensitivity::SqlCaseSensitivityUnknown as i32),
    );
    info.append(SqlInfo::SqlAllTablesAreSelectable, true);
    info.append(SqlInfo::SqlSearchStringEscape, "\\");
    info.append(SqlInfo::SqlExtraNameCharacters, "$");
    info.append(SqlInfo::SqlSchemaTerm, "schema");
    info.append(SqlInfo::SqlProcedureTerm, "procedure");
    info.append(SqlInfo::SqlCatalogTerm, "database");
    info.append(SqlInfo::SqlCatalogAtStart, true);
    let in_privileges = mask(&[SqlSupportedElementActions::SqlElementInPrivilegeDefinitions as i32]);
    info.append(SqlInfo::SqlSchemasSupportedActions, in_privileges);
    info.append(SqlInfo::SqlCatalogsSupportedActions, in_privileges);
}

fn add_functions(info: &mut SqlInfoDataBuilder) {
    info.append(SqlInfo::SqlKeywords, &["DISTRIBUTED", "RANDOMLY", "REPLICATED"][..]);
    info.append(SqlInfo::SqlNumericFunctions, &["ABS", "CEIL", "EXP", "FLOOR", "LN", "POWER", "ROUND", "SQRT"][..]);
    info.append(SqlInfo::SqlStringFunctions, &["LENGTH", "LOWER", "REPLACE", "SUBSTRING", "TRIM", "UPPER"][..]);
    info.append(SqlInfo::SqlSystemFunctions, &["COALESCE", "NULLIF"][..]);
    info.append(SqlInfo::SqlDatetimeFunctions, &["DATE_PART", "DATE_TRUNC", "EXTRACT", "NOW"][..]);
    info.append(SqlInfo::SqlSupportsConvert, conversions());
    info.append(SqlInfo::SqlStoredProceduresSupported, false);
    info.append(SqlInfo::SqlStoredFunctionsUsingCallSyntaxSupported, false);
}

fn add_grammar(info: &mut SqlInfoDataBuilder) {
    info.append(SqlInfo::SqlNullOrdering, i64::from(SqlNullOrdering::SqlNullsSortedHigh as i32));
    info.append(SqlInfo::SqlSupportsColumnAliasing, true);
    info.append(SqlInfo::SqlNullPlusNullIsNull, true);
    info.append(SqlInfo::SqlSupportsTableCorrelationNames, true);
    info.append(SqlInfo::SqlSupportsDifferentTableCorrelationNames, false);
    info.append(SqlInfo::SqlSupportsExpressionsInOrderBy, true);
    info.append(SqlInfo::SqlSupportsOrderByUnrelated, true);
    let group_by = [SqlSupportedGroupBy::SqlGroupByUnrelated, SqlSupportedGroupBy::SqlGroupByBeyondSelect];
    info.append(SqlInfo::SqlSupportedGroupBy, mask(&group_by.map(|kind| kind as i32)));
    info.append(SqlInfo::SqlSupportsLikeEscapeClause, true);
    info.append(SqlInfo::SqlSupportsNonNullableColumns, true);
    let grammars = [SupportedSqlGrammar::SqlMinimumGrammar, SupportedSqlGrammar::SqlCoreGrammar];
    info.append(SqlInfo::SqlSupportedGrammar, mask(&grammars.map(|grammar| grammar as i32)));
    info.append(SqlInfo::SqlAnsi92SupportedLevel, mask(&[ANSI92_ENTRY_SQL]));
    info.append(SqlInfo::SqlSupportsIntegrityEnhancementFacility, false);
    let joins = [SqlOuterJoinsSupportLevel::SqlLimitedOuterJoins, SqlOuterJoinsSupportLevel::SqlFullOuterJoins];
    info.append(SqlInfo::SqlOuterJoinsSupportLevel, mask(&joins.map(|level| level as i32)));
    let subqueries = [
        SqlSupportedSubqueries::SqlSubqueriesInComparisons,
        SqlSupportedSubqueries::SqlSubqueriesInExists,
        SqlSupportedSubqueries::SqlSubqueriesInIns,
        SqlSupportedSubqueries::SqlSubqueriesInQuantifieds,
    ];
    info.append(SqlInfo::SqlSupportedSubqueries, mask(&subqueries.map(|place| place as i32)));
    info.append(SqlInfo::SqlCorrelatedSubqueriesSupported, true);
    let unions = [SqlSupportedUnions::SqlUnion, SqlSupportedUnions::SqlUnionAll];
    info.append(SqlInfo::SqlSupportedUnions, mask(&unions.map(|union| union as i32)));
    info.append(SqlInfo::SqlNamedParametersSupported, false);
}

fn add_limits(info: &mut SqlInfoDataBuilder) {
    for name in [
        SqlInfo::SqlMaxColumnNameLength,
        SqlInfo::SqlMaxCursorNameLength,
        SqlInfo::SqlDbSchemaNameLength,
        SqlInfo::SqlMaxProcedureNameLength,
        SqlInfo::SqlMaxCatalogNameLength,
        SqlInfo::SqlMaxTableNameLength,
        SqlInfo::SqlMaxUsernameLength,
    ] {
        info.append(name, NAME_BYTES_MAX as i64);
    }
    for unlimited in [
        SqlInfo::SqlMaxBinaryLiteralLength,
        SqlInfo::SqlMaxCharLiteralLength,
        SqlInfo::SqlMaxColumnsInGroupBy,
        SqlInfo::SqlMaxColumnsInIndex,
        SqlInfo::SqlMaxColumnsInOrderBy,
        SqlInfo::SqlMaxConnections,
        SqlInfo::SqlMaxIndexLength,
        SqlInfo::SqlMaxRowSize,
        SqlInfo::SqlMaxStatements,
        SqlInfo::SqlMaxTablesInSelect,
    ] {
        info.append(unlimited, UNLIMITED);
    }
    info.append(SqlInfo::SqlMaxColumnsInSelect, TARGETS_MAX as i64);
    info.append(SqlInfo::SqlMaxColumnsInTable, COLUMNS_MAX as i64);
    info.append(SqlInfo::SqlMaxStatementLength, REQUEST_BYTES_MAX as i64);
    info.append(SqlInfo::SqlMaxRowSizeIncludesBlobs, true);
}

fn add_transactions(info: &mut SqlInfoDataBuilder) {
    info.append(
        SqlInfo::SqlDefaultTransactionIsolation,
        i64::from(SqlTransactionIsolationLevel::SqlTransactionReadCommitted as i32),
    );
    info.append(SqlInfo::SqlTransactionsSupported, true);
    let levels = [
        SqlTransactionIsolationLevel::SqlTransactionReadCommitted,
        SqlTransactionIsolationLevel::SqlTransactionRepeatableRead,
    ];
    info.append(SqlInfo::SqlSupportedTransactionsIsolationLevels, mask(&levels.map(|level| level as i32)));
    info.append(SqlInfo::SqlDataDefinitionCausesTransactionCommit, false);
    info.append(SqlInfo::SqlDataDefinitionsInTransactionsIgnored, false);
    info.append(SqlInfo::SqlBatchUpdatesSupported, true);
    info.append(SqlInfo::SqlSavepointsSupported, true);
    info.append(SqlInfo::SqlLocatorsUpdateCopy, false);
}

fn add_results(info: &mut SqlInfoDataBuilder) {
    info.append(SqlInfo::SqlSelectForUpdateSupported, false);
    info.append(SqlInfo::SqlSupportedPositionedCommands, mask(&[]));
    let forward = mask(&[SqlSupportedResultSetType::SqlResultSetTypeForwardOnly as i32]);
    info.append(SqlInfo::SqlSupportedResultSetTypes, forward);
    let read_only = mask(&[SqlSupportedResultSetConcurrency::SqlResultSetConcurrencyReadOnly as i32]);
    info.append(SqlInfo::SqlSupportedConcurrenciesForResultSetForwardOnly, read_only);
    for other in [
        SqlInfo::SqlSupportedConcurrenciesForResultSetUnspecified,
        SqlInfo::SqlSupportedConcurrenciesForResultSetScrollSensitive,
        SqlInfo::SqlSupportedConcurrenciesForResultSetScrollInsensitive,
    ] {
        info.append(other, mask(&[]));
    }
}

/// Values of an enumeration as the protocol has sets of them: each is a bit.
fn mask(values: &[i32]) -> i32 {
    values.iter().fold(0, |mask, value| mask | 1 << value)
}

/// What CAST makes of what: numbers and texts of each other, times of texts and back, and dates of timestamps and back.
fn conversions() -> BTreeMap<i32, Vec<i32>> {
    use SqlSupportsConvert as Type;
    let numbers = [
        Type::SqlConvertBigint,
        Type::SqlConvertDecimal,
        Type::SqlConvertFloat,
        Type::SqlConvertInteger,
        Type::SqlConvertNumeric,
        Type::SqlConvertReal,
        Type::SqlConvertSmallint,
    ];
    let texts = [Type::SqlConvertChar, Type::SqlConvertLongvarchar, Type::SqlConvertVarchar];
    let times = [Type::SqlConvertDate, Type::SqlConvertTimestamp];
    let mut conversions: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for (from, to) in [
        (&numbers[..], &numbers[..]),
        (&numbers, &texts),
        (&texts, &numbers),
        (&texts, &texts),
        (&texts, &times),
        (&times, &texts),
        (&times, &times),
    ] {
        for from in from {
            conversions.entry(*from as i32).or_default().extend(to.iter().map(|to| *to as i32));
        }
    }
    conversions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_means_everything() {
        let info = sql_info().unwrap();
        assert!(info.record_batch([]).unwrap().num_rows() > 80);
        assert_eq!(info.record_batch([SqlInfo::FlightSqlServerName as u32]).unwrap().num_rows(), 1);
        assert_eq!(info.record_batch([99_999]).unwrap().num_rows(), 0);
        // Of SQL, the protocol has these.
        for number in 500..=576 {
            assert_eq!(info.record_batch([number]).unwrap().num_rows(), 1, "{number}");
        }
    }

    #[test]
    fn a_set_is_a_bit_a_value() {
        assert_eq!((mask(&[]), mask(&[0]), mask(&[1, 3])), (0, 1, 10));
        let conversions = conversions();
        let to = |from: SqlSupportsConvert, to: SqlSupportsConvert| conversions[&(from as i32)].contains(&(to as i32));
        assert!(to(SqlSupportsConvert::SqlConvertInteger, SqlSupportsConvert::SqlConvertVarchar));
        assert!(!to(SqlSupportsConvert::SqlConvertInteger, SqlSupportsConvert::SqlConvertDate));
    }
}
