import java.io.ByteArrayOutputStream;
import java.io.StringReader;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.Date;
import java.sql.DriverManager;
import java.sql.ParameterMetaData;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.SQLWarning;
import java.sql.Savepoint;
import java.sql.Statement;
import java.sql.Time;
import java.sql.Timestamp;
import java.sql.Types;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.TimeZone;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import org.postgresql.PGConnection;
import org.postgresql.PGStatement;
import org.postgresql.copy.CopyManager;
import org.postgresql.copy.CopyOut;
import org.postgresql.util.PGInterval;
import org.postgresql.util.PSQLException;

/**
 * What a JDBC user does, through PostgreSQL's driver. Argument: the port. Makes tables of its own, and drops them. Prints a line for each
 * step that went well; a step that does not is told, and the next begins on a new connection.
 */
public class PgJdbc {
    /** More than a server-side statement needs to be made, and to go on in binary. */
    private static final int TIMES = 12;
    private static final int BATCH_ROWS = 1000;
    private static final int FETCHED_ROWS = 100_000;
    private static final int MANY_ROWS = 1_000_000;
    private static final int COPIED_ROWS = 20_000;

    /** Takes an hour, if nobody ends it. */
    private static final String LONG =
        "SELECT count(*) FROM generate_series(1, 1000000) AS a(x), generate_series(1, 1000000) AS b(y) WHERE x * 7 % 11 = y % 13";

    private static String port;
    private static boolean allWell = true;

    private interface Step {
        void run(Connection connection) throws Exception;
    }

    public static void main(String[] arguments) {
        port = arguments[0];
        // Nothing here takes long: what hangs must not take the other tests' time.
        Thread watchdog = new Thread(() -> {
            try {
                TimeUnit.SECONDS.sleep(600);
                System.err.println("still running after 600 s");
            } catch (InterruptedException interrupted) {
                System.err.println("interrupted");
            }
            Runtime.getRuntime().halt(3);
        });
        watchdog.setDaemon(true);
        watchdog.start();
        TimeZone.setDefault(TimeZone.getTimeZone("UTC"));
        List<String> only = Arrays.asList(arguments).subList(1, arguments.length);
        step(only, "connect", "", PgJdbc::connects);
        step(only, "metadata", "", PgJdbc::metadata);
        step(only, "types", "", PgJdbc::types);
        step(only, "types simple", "preferQueryMode=simple", PgJdbc::types);
        step(only, "types binary", "prepareThreshold=-1", PgJdbc::types);
        step(only, "nulls", "", PgJdbc::nulls);
        step(only, "arrays", "", PgJdbc::arrays);
        step(only, "prepared", "", PgJdbc::prepared);
        step(only, "altered", "", PgJdbc::altered);
        step(only, "batch", "", PgJdbc::batch);
        step(only, "batch rewritten", "reWriteBatchedInserts=true", PgJdbc::batch);
        step(only, "fetch size", "", PgJdbc::fetchSize);
        step(only, "many rows", "", PgJdbc::manyRows);
        step(only, "transactions", "", PgJdbc::transactions);
        step(only, "savepoints", "", PgJdbc::savepoints);
        step(only, "autosave", "autosave=always", PgJdbc::autosave);
        step(only, "errors", "", PgJdbc::errors);
        step(only, "warnings", "", PgJdbc::warnings);
        step(only, "several statements", "", PgJdbc::severalStatements);
        step(only, "keys", "", PgJdbc::keys);
        step(only, "copy", "", PgJdbc::copy);
        step(only, "cancel", "", PgJdbc::cancel);
        step(only, "timeout", "", PgJdbc::timeout);
        step(only, "settings", "currentSchema=pg_jdbc_other&options=-c%20extra_float_digits=3&ApplicationName=of%20a%20test", PgJdbc::settings);
        System.exit(allWell ? 0 : 1);
    }

    private static void step(List<String> only, String name, String options, Step step) {
        if (!only.isEmpty() && !only.contains(name)) {
            return;
        }
        try (Connection connection = connect(options)) {
            step.run(connection);
            System.out.println("passed " + name);
        } catch (Throwable failure) {
            allWell = false;
            System.err.println("failed " + name);
            failure.printStackTrace();
        }
    }

    private static Connection connect(String options) throws SQLException {
        return DriverManager.getConnection("jdbc:postgresql://127.0.0.1:" + port + "/postgres?user=damson&password=damson&" + options);
    }

    private static void connects(Connection connection) throws SQLException {
        DatabaseMetaData metadata = connection.getMetaData();
        equal("PostgreSQL", metadata.getDatabaseProductName(), "product");
        holds(metadata.getDatabaseMajorVersion() >= 12, "version " + metadata.getDatabaseProductVersion());
        holds(connection.isValid(5), "the connection is valid");
        equal("public", connection.getSchema(), "schema");
        holds(connection.getCatalog() != null, "there is a catalog");
        holds(connection.getAutoCommit(), "autocommit");
        equal(Connection.TRANSACTION_READ_COMMITTED, connection.getTransactionIsolation(), "isolation");
        holds(!connection.isReadOnly(), "not read only");
        holds(metadata.getMaxConnections() > 0, "connections");
        holds(metadata.getMaxColumnNameLength() >= 63, "length of names");
        holds(metadata.getUserName().equals("damson"), "user");
        for (String words : List.of(metadata.getSQLKeywords(), metadata.getNumericFunctions(), metadata.getStringFunctions())) {
            holds(!words.isEmpty(), "words");
        }
    }

    private static void metadata(Connection connection) throws SQLException {
        drop(connection, "pg_jdbc_b", "pg_jdbc_m");
        execute(connection, "DROP VIEW IF EXISTS pg_jdbc_v");
        execute(connection, "CREATE TABLE pg_jdbc_m (k int NOT NULL, w varchar(20) DEFAULT 'none', n numeric(12,3) NOT NULL, "
            + "at timestamptz, CONSTRAINT pg_jdbc_m_key PRIMARY KEY (k), CHECK (n >= 0))");
        execute(connection, "CREATE TABLE pg_jdbc_b (b bigint, a int, s serial, CONSTRAINT pg_jdbc_b_key PRIMARY KEY (a, b))");
        execute(connection, "CREATE VIEW pg_jdbc_v AS SELECT k, w FROM pg_jdbc_m");
        DatabaseMetaData metadata = connection.getMetaData();
        String[] tables = {"TABLE"};
        equal(List.of("pg_jdbc_b", "pg_jdbc_m"), column(metadata.getTables(null, "public", "pg\\_jdbc\\__", tables), "TABLE_NAME"), "tables");
        equal(List.of("VIEW"), column(metadata.getTables(null, "public", "pg\\_jdbc\\_v", null), "TABLE_TYPE"), "view");
        holds(column(metadata.getTables(null, null, "%", null), "TABLE_NAME").contains("pg_class"), "system tables");
        holds(column(metadata.getTableTypes(), "TABLE_TYPE").contains("TABLE"), "table types");
        holds(column(metadata.getSchemas(), "TABLE_SCHEM").containsAll(List.of("public", "information_schema", "pg_catalog")), "schemas");
        equal(List.of("public"), column(metadata.getSchemas(null, "publi_"), "TABLE_SCHEM"), "schemas of a pattern");
        holds(!column(metadata.getCatalogs(), "TABLE_CAT").isEmpty(), "catalogs");

        List<String> columns = new ArrayList<>();
        try (ResultSet rows = metadata.getColumns(null, "public", "pg\\_jdbc\\_m", null)) {
            while (rows.next()) {
                columns.add(rows.getString("COLUMN_NAME") + " " + rows.getInt("DATA_TYPE") + " " + rows.getString("TYPE_NAME") + " "
                    + rows.getInt("COLUMN_SIZE") + " " + rows.getInt("DECIMAL_DIGITS") + " " + rows.getInt("NULLABLE") + " "
                    + rows.getString("COLUMN_DEF") + " " + rows.getInt("ORDINAL_POSITION") + " " + rows.getString("IS_NULLABLE") + " "
                    + rows.getString("IS_AUTOINCREMENT") + " " + rows.getString("IS_GENERATEDCOLUMN"));
            }
        }
        columns.replaceAll(line -> line.replace("'none'::character varying", "'none'"));
        equal(List.of(
            "k " + Types.INTEGER + " int4 10 0 0 null 1 NO NO NO",
            "w " + Types.VARCHAR + " varchar 20 0 1 'none' 2 YES NO NO",
            "n " + Types.NUMERIC + " numeric 12 3 0 null 3 NO NO NO",
            "at " + Types.TIMESTAMP + " timestamptz 35 6 1 null 4 YES NO NO"), columns, "columns");
        try (ResultSet rows = metadata.getColumns(null, "public", "pg\\_jdbc\\_b", "s")) {
            holds(rows.next(), "there is a serial");
            equal("YES", rows.getString("IS_AUTOINCREMENT"), "a serial counts by itself");
            equal("serial", rows.getString("TYPE_NAME"), "a serial's type");
        }
        equal(List.of("k"), column(metadata.getPrimaryKeys(null, "public", "pg_jdbc_m"), "COLUMN_NAME"), "primary key");
        equal(List.of("pg_jdbc_m_key"), column(metadata.getPrimaryKeys(null, "public", "pg_jdbc_m"), "PK_NAME"), "its name");
        equal(List.of("a 1", "b 2"), pairs(metadata.getPrimaryKeys(null, "public", "pg_jdbc_b"), "COLUMN_NAME", "KEY_SEQ"), "key of two");
        equal(List.of("a 1", "b 2"), pairs(metadata.getIndexInfo(null, "public", "pg_jdbc_b", true, true), "COLUMN_NAME", "ORDINAL_POSITION"), "index");
        equal(List.of("pg_jdbc_m_key"), column(metadata.getIndexInfo(null, "public", "pg_jdbc_m", false, true), "INDEX_NAME"), "its name");
        equal(List.of("k"), column(metadata.getBestRowIdentifier(null, "public", "pg_jdbc_m", DatabaseMetaData.bestRowSession, false), "COLUMN_NAME"), "row identifier");
        equal(List.of(), column(metadata.getImportedKeys(null, "public", "pg_jdbc_m"), "FKCOLUMN_NAME"), "imported keys");
        equal(List.of(), column(metadata.getExportedKeys(null, "public", "pg_jdbc_m"), "FKCOLUMN_NAME"), "exported keys");
        equal(List.of(), column(metadata.getCrossReference(null, "public", "pg_jdbc_m", null, "public", "pg_jdbc_b"), "FKCOLUMN_NAME"), "cross reference");
        // All that there are: a driver's tool asks so.
        column(metadata.getPrimaryKeys(null, null, null), "COLUMN_NAME");
        column(metadata.getImportedKeys(null, null, null), "FKCOLUMN_NAME");
        column(metadata.getIndexInfo(null, null, "pg_jdbc_m", false, false), "INDEX_NAME");
        List<String> types = column(metadata.getTypeInfo(), "TYPE_NAME");
        holds(types.containsAll(List.of("bool", "int2", "int4", "int8", "float4", "float8", "numeric", "text", "varchar", "bytea", "date",
            "time", "timestamp", "timestamptz", "interval", "uuid")), "types: " + types);
        column(metadata.getVersionColumns(null, "public", "pg_jdbc_m"), "COLUMN_NAME");
        holds(column(metadata.getFunctions(null, null, "%"), "FUNCTION_NAME").size() > 10, "functions");
        column(metadata.getProcedures(null, null, "%"), "PROCEDURE_NAME");
        column(metadata.getProcedureColumns(null, null, "nothing", "%"), "COLUMN_NAME");
        column(metadata.getFunctionColumns(null, null, "nothing", "%"), "COLUMN_NAME");
        column(metadata.getUDTs(null, null, "%", null), "TYPE_NAME");
        column(metadata.getTablePrivileges(null, "public", "pg_jdbc_m"), "PRIVILEGE");
        column(metadata.getColumnPrivileges(null, "public", "pg_jdbc_m", "%"), "PRIVILEGE");
        column(metadata.getClientInfoProperties(), "NAME");

        try (PreparedStatement select = connection.prepareStatement("SELECT k, w AS word, n * 2 AS twice, at FROM pg_jdbc_m WHERE k = ? AND w = ?")) {
            ResultSetMetaData result = select.getMetaData();
            equal(4, result.getColumnCount(), "columns of a result");
            equal("word", result.getColumnLabel(2), "label");
            equal(Types.INTEGER, result.getColumnType(1), "type of k");
            equal(Types.VARCHAR, result.getColumnType(2), "type of w");
            equal(Types.NUMERIC, result.getColumnType(3), "type of twice");
            equal("timestamptz", result.getColumnTypeName(4), "type of at");
            ParameterMetaData parameters = select.getParameterMetaData();
            equal(2, parameters.getParameterCount(), "parameters");
            equal(Types.INTEGER, parameters.getParameterType(1), "type of a parameter");
            // These look a result's table up, where it has one.
            result.isAutoIncrement(1);
            result.isNullable(1);
            result.getTableName(1);
            result.getSchemaName(1);
        }
        execute(connection, "DROP VIEW pg_jdbc_v");
        drop(connection, "pg_jdbc_b", "pg_jdbc_m");
    }

    /** Values of every type go in and come out as they are, in text and in binary. */
    private static void types(Connection connection) throws Exception {
        drop(connection, "pg_jdbc_t");
        execute(connection, "CREATE TABLE pg_jdbc_t (id int PRIMARY KEY, flag boolean, small smallint, number int, big bigint, half real, "
            + "whole double precision, exact numeric(20,4), words text, short varchar(20), bytes bytea, day date, moment time, "
            + "stamp timestamp, instant timestamptz, span interval, key uuid, fixed char(5))");
        UUID key = UUID.fromString("00112233-4455-6677-8899-aabbccddeeff");
        byte[] bytes = {0, 1, (byte) 0xff, '\\', '\''};
        Timestamp stamp = Timestamp.valueOf("2026-02-28 23:59:59.123456");
        String words = "ä€😀 'quoted' \\ back\nline\ttab";
        String insert = "INSERT INTO pg_jdbc_t VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        try (PreparedStatement statement = connection.prepareStatement(insert)) {
            for (int id = 0; id < TIMES; id++) {
                statement.setInt(1, id);
                statement.setBoolean(2, id % 2 == 0);
                statement.setShort(3, (short) (-5 - id));
                statement.setInt(4, Integer.MIN_VALUE + id);
                statement.setLong(5, Long.MAX_VALUE - id);
                statement.setFloat(6, 1.5f + id);
                statement.setDouble(7, -1e-15 * id);
                statement.setBigDecimal(8, new BigDecimal("1234567890123456.7891").add(BigDecimal.valueOf(id)));
                statement.setString(9, words + id);
                statement.setString(10, "w" + id);
                statement.setBytes(11, bytes);
                statement.setDate(12, Date.valueOf("1969-12-31"));
                statement.setTime(13, Time.valueOf("12:34:56"));
                statement.setTimestamp(14, stamp);
                statement.setObject(15, OffsetDateTime.of(2026, 3, 1, 1, 30, 0, 250_000_000, ZoneOffset.ofHours(2)));
                statement.setObject(16, new PGInterval(1, 2, -3, 4, 5, 6.5));
                statement.setObject(17, key);
                statement.setString(18, "abc");
                equal(1, statement.executeUpdate(), "rows");
            }
        }
        try (PreparedStatement select = connection.prepareStatement("SELECT * FROM pg_jdbc_t WHERE id = ?")) {
            for (int id = 0; id < TIMES; id++) {
                select.setInt(1, id);
                try (ResultSet row = select.executeQuery()) {
                    holds(row.next(), "row " + id);
                    equal(id % 2 == 0, row.getBoolean("flag"), "flag");
                    equal((short) (-5 - id), row.getShort("small"), "small");
                    equal(Integer.MIN_VALUE + id, row.getInt("number"), "number");
                    equal(Long.MAX_VALUE - id, row.getLong("big"), "big");
                    equal(1.5f + id, row.getFloat("half"), "half");
                    equal(-1e-15 * id, row.getDouble("whole"), "whole");
                    equal(new BigDecimal("1234567890123456.7891").add(BigDecimal.valueOf(id)), row.getBigDecimal("exact"), "exact");
                    equal(words + id, row.getString("words"), "words");
                    equal("w" + id, row.getString("short"), "short");
                    holds(Arrays.equals(bytes, row.getBytes("bytes")), "bytes: " + Arrays.toString(row.getBytes("bytes")));
                    equal(LocalDate.of(1969, 12, 31), row.getObject("day", LocalDate.class), "day");
                    equal(Date.valueOf("1969-12-31"), row.getDate("day"), "day as a Date");
                    equal(LocalTime.of(12, 34, 56), row.getObject("moment", LocalTime.class), "moment");
                    equal(stamp, row.getTimestamp("stamp"), "stamp");
                    equal(stamp.toLocalDateTime(), row.getObject("stamp", LocalDateTime.class), "stamp as a LocalDateTime");
                    equal(Instant.parse("2026-02-28T23:30:00.25Z"), row.getObject("instant", OffsetDateTime.class).toInstant(), "instant");
                    equal(new PGInterval(1, 2, -3, 4, 5, 6.5), new PGInterval(row.getString("span")), "span");
                    equal(key.toString(), row.getString("key"), "key");
                    equal("abc", row.getString("fixed").trim(), "fixed");
                    holds(!row.next(), "one row");
                }
            }
        }
        // Each type finds its rows again.
        byType(connection, "flag", true, TIMES / 2);
        byType(connection, "small", (short) -6, 1);
        byType(connection, "number", Integer.MIN_VALUE + 3, 1);
        byType(connection, "big", Long.MAX_VALUE - 4, 1);
        byType(connection, "half", 2.5f, 1);
        byType(connection, "whole", -1e-15 * 3, 1);
        byType(connection, "exact", new BigDecimal("1234567890123458.7891"), 1);
        byType(connection, "short", "w7", 1);
        byType(connection, "bytes", bytes, TIMES);
        byType(connection, "day", LocalDate.of(1969, 12, 31), TIMES);
        byType(connection, "moment", LocalTime.of(12, 34, 56), TIMES);
        byType(connection, "stamp", stamp.toLocalDateTime(), TIMES);
        byType(connection, "stamp", stamp, TIMES);
        byType(connection, "instant", OffsetDateTime.parse("2026-02-28T23:30:00.25Z"), TIMES);
        byType(connection, "span", new PGInterval(1, 2, -3, 4, 5, 6.5), TIMES);
        byType(connection, "key", key, TIMES);
        drop(connection, "pg_jdbc_t");
    }

    private static void byType(Connection connection, String column, Object value, int wanted) throws SQLException {
        try (PreparedStatement select = connection.prepareStatement("SELECT count(*) FROM pg_jdbc_t WHERE " + column + " = ?")) {
            for (int time = 0; time < TIMES; time++) {
                select.setObject(1, value);
                try (ResultSet row = select.executeQuery()) {
                    holds(row.next(), "a count");
                    equal(wanted, row.getInt(1), "rows by " + column + " of " + value.getClass() + ", time " + time);
                }
            }
        } catch (SQLException failure) {
            throw new SQLException("by " + column + " of " + value.getClass() + ": " + failure.getMessage(), failure.getSQLState(), failure);
        }
    }

    private static void nulls(Connection connection) throws SQLException {
        drop(connection, "pg_jdbc_n");
        execute(connection, "CREATE TABLE pg_jdbc_n (id int PRIMARY KEY, flag boolean, small smallint, number int, big bigint, half real, "
            + "whole double precision, exact numeric(20,4), words text, bytes bytea, day date, moment time, stamp timestamp, "
            + "instant timestamptz, span interval, key uuid)");
        int[] types = {Types.BOOLEAN, Types.SMALLINT, Types.INTEGER, Types.BIGINT, Types.REAL, Types.DOUBLE, Types.NUMERIC, Types.VARCHAR,
            Types.BINARY, Types.DATE, Types.TIME, Types.TIMESTAMP, Types.TIMESTAMP_WITH_TIMEZONE, Types.OTHER, Types.OTHER};
        String insert = "INSERT INTO pg_jdbc_n VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        try (PreparedStatement statement = connection.prepareStatement(insert)) {
            for (int id = 0; id < TIMES; id++) {
                statement.setInt(1, id);
                for (int at = 0; at < types.length; at++) {
                    statement.setNull(at + 2, id % 2 == 0 ? types[at] : Types.NULL);
                }
                statement.executeUpdate();
            }
        }
        try (PreparedStatement select = connection.prepareStatement("SELECT * FROM pg_jdbc_n WHERE id = ? OR ? IS NULL ORDER BY id")) {
            for (int time = 0; time < TIMES; time++) {
                select.setInt(1, time);
                select.setInt(2, 1);
                try (ResultSet row = select.executeQuery()) {
                    holds(row.next(), "a row");
                    for (int at = 0; at < types.length; at++) {
                        equal(null, row.getObject(at + 2), "column " + (at + 2));
                        holds(row.wasNull(), "NULL");
                    }
                    holds(!row.next(), "one row");
                }
            }
        }
        drop(connection, "pg_jdbc_n");
    }

    private static void arrays(Connection connection) throws SQLException {
        for (int time = 0; time < TIMES; time++) {
            try (PreparedStatement select = connection.prepareStatement("SELECT ?::int[], ?::text[], 2 = ANY (?::bigint[])")) {
                select.setArray(1, connection.createArrayOf("int4", new Integer[] {1, null, 3}));
                select.setArray(2, connection.createArrayOf("text", new String[] {"a,b", "\"q\"", null, ""}));
                select.setArray(3, connection.createArrayOf("int8", new Long[] {2L, 5L}));
                try (ResultSet row = select.executeQuery()) {
                    holds(row.next(), "a row");
                    equal(Arrays.asList(1, null, 3), Arrays.asList((Object[]) row.getArray(1).getArray()), "int[]");
                    equal(Arrays.asList("a,b", "\"q\"", null, ""), Arrays.asList((Object[]) row.getArray(2).getArray()), "text[]");
                    holds(row.getBoolean(3), "ANY");
                }
            }
        }
        // What code makes of a list of ids.
        drop(connection, "pg_jdbc_a");
        execute(connection, "CREATE TABLE pg_jdbc_a (id int PRIMARY KEY, words text)");
        execute(connection, "INSERT INTO pg_jdbc_a SELECT x, 'w' || x FROM generate_series(1, 100) AS g(x)");
        try (PreparedStatement select = connection.prepareStatement("SELECT count(*) FROM pg_jdbc_a WHERE id = ANY (?)")) {
            for (int time = 0; time < TIMES; time++) {
                select.setArray(1, connection.createArrayOf("int4", new Integer[] {1, 7, 1000}));
                try (ResultSet row = select.executeQuery()) {
                    holds(row.next(), "a row");
                    equal(2, row.getInt(1), "rows by ids");
                }
            }
        }
        drop(connection, "pg_jdbc_a");
    }

    /** The same statement with one type and another, and queries that change nothing. */
    private static void prepared(Connection connection) throws SQLException {
        drop(connection, "pg_jdbc_p");
        execute(connection, "CREATE TABLE pg_jdbc_p (id int PRIMARY KEY, big bigint, exact numeric(10,2), words text)");
        try (PreparedStatement insert = connection.prepareStatement("INSERT INTO pg_jdbc_p VALUES (?, ?, ?, ?)")) {
            for (int id = 0; id < TIMES; id++) {
                insert.setInt(1, id);
                // Neither column's own type.
                insert.setInt(2, id);
                insert.setLong(3, id);
                insert.setObject(4, id % 3 == 0 ? null : "w" + id);
                equal(1, insert.executeUpdate(), "rows");
            }
        }
        try (PreparedStatement update = connection.prepareStatement("UPDATE pg_jdbc_p SET exact = exact + ?, words = coalesce(?, words) WHERE id < ?")) {
            for (int time = 0; time < TIMES; time++) {
                update.setBigDecimal(1, new BigDecimal("0.25"));
                update.setString(2, time % 2 == 0 ? null : "x");
                update.setInt(3, 3);
                equal(3, update.executeUpdate(), "rows");
            }
        }
        equal(new BigDecimal("4.00"), single(connection, "SELECT exact FROM pg_jdbc_p WHERE id = 1"), "sum of updates");
        try (PreparedStatement select = connection.prepareStatement("SELECT words FROM pg_jdbc_p WHERE words LIKE ? ORDER BY id LIMIT ? OFFSET ?")) {
            for (int time = 0; time < TIMES; time++) {
                select.setString(1, "w%");
                select.setInt(2, 2);
                select.setInt(3, time % 3);
                List<String> found = new ArrayList<>();
                try (ResultSet rows = select.executeQuery()) {
                    while (rows.next()) {
                        found.add(rows.getString(1));
                    }
                }
                equal(List.of("w4", "w5", "w7", "w8").subList(time % 3, time % 3 + 2), found, "a page");
            }
            holds(select.unwrap(PGStatement.class).isUseServerPrepare(), "it is prepared in the server");
        }
        try (PreparedStatement delete = connection.prepareStatement("DELETE FROM pg_jdbc_p WHERE id = ?")) {
            for (int id = 0; id < TIMES; id++) {
                delete.setInt(1, id);
                equal(1, delete.executeUpdate(), "rows");
            }
        }
        drop(connection, "pg_jdbc_p");
    }

    /** A statement that the server keeps, of a table that changes meanwhile. */
    private static void altered(Connection connection) throws SQLException {
        drop(connection, "pg_jdbc_c");
        execute(connection, "CREATE TABLE pg_jdbc_c (id int PRIMARY KEY)");
        execute(connection, "INSERT INTO pg_jdbc_c VALUES (1)");
        try (PreparedStatement select = connection.prepareStatement("SELECT * FROM pg_jdbc_c WHERE id = ?")) {
            for (int time = 0; time < TIMES; time++) {
                if (time == 8) {
                    execute(connection, "ALTER TABLE pg_jdbc_c ADD COLUMN words text");
                }
                select.setInt(1, 1);
                try (ResultSet row = select.executeQuery()) {
                    holds(row.next(), "a row");
                    equal(time < 8 ? 1 : 2, row.getMetaData().getColumnCount(), "columns");
                }
            }
            execute(connection, "DEALLOCATE ALL");
            try (ResultSet row = select.executeQuery()) {
                holds(row.next(), "a row");
            }
        }
        drop(connection, "pg_jdbc_c");
    }

    private static void batch(Connection connection) throws SQLException {
        drop(connection, "pg_jdbc_k");
        execute(connection, "CREATE TABLE pg_jdbc_k (k int PRIMARY KEY, w text, at timestamp, n numeric(10,2))");
        for (boolean autoCommit : new boolean[] {true, false}) {
            connection.setAutoCommit(autoCommit);
            int first = autoCommit ? 0 : BATCH_ROWS;
            try (PreparedStatement insert = connection.prepareStatement("INSERT INTO pg_jdbc_k (k, w, at, n) VALUES (?, ?, ?, ?)")) {
                for (int row = first; row < first + BATCH_ROWS; row++) {
                    insert.setInt(1, row);
                    insert.setString(2, row % 7 == 0 ? null : "w" + row);
                    insert.setTimestamp(3, new Timestamp(row * 1000L));
                    insert.setBigDecimal(4, BigDecimal.valueOf(row, 2));
                    insert.addBatch();
                }
                int[] counts = insert.executeBatch();
                equal(BATCH_ROWS, counts.length, "counts");
                for (int count : counts) {
                    holds(count == 1 || count == Statement.SUCCESS_NO_INFO, "count " + count);
                }
            }
            if (!autoCommit) {
                connection.commit();
            }
        }
        connection.setAutoCommit(true);
        equal(2L * BATCH_ROWS, single(connection, "SELECT count(*) FROM pg_jdbc_k"), "rows");
        equal(new BigDecimal("19990.00"), single(connection, "SELECT sum(n) FROM pg_jdbc_k"), "their sum");
        equal(286L, single(connection, "SELECT count(*) FROM pg_jdbc_k WHERE w IS NULL"), "NULLs");

        // All or nothing, in one transaction; the first wrong one is told.
        try (PreparedStatement insert = connection.prepareStatement("INSERT INTO pg_jdbc_k (k, w, at, n) VALUES (?, ?, NULL, NULL)")) {
            for (int row : new int[] {9000, 5, 9001}) {
                insert.setInt(1, row);
                insert.setString(2, "again");
                insert.addBatch();
            }
            insert.executeBatch();
            throw new AssertionError("a key twice");
        } catch (BatchUpdateException expected) {
            equal("23505", expected.getSQLState(), "a key twice: " + expected.getMessage());
        }
        equal(2L * BATCH_ROWS, single(connection, "SELECT count(*) FROM pg_jdbc_k"), "rows after a batch that failed");

        // A batch of texts.
        try (Statement statement = connection.createStatement()) {
            statement.addBatch("UPDATE pg_jdbc_k SET w = 'u' WHERE k < 3");
            statement.addBatch("DELETE FROM pg_jdbc_k WHERE k = 0");
            statement.addBatch("INSERT INTO pg_jdbc_k (k) VALUES (10000), (10001)");
            equal(Arrays.asList(3, 1, 2), Arrays.stream(statement.executeBatch()).boxed().toList(), "counts of texts");
        }
        drop(connection, "pg_jdbc_k");
    }

    private static void fetchSize(Connection connection) throws SQLException {
        connection.setAutoCommit(false);
        try (PreparedStatement select = connection.prepareStatement("SELECT x::int, 'word ' || x FROM generate_series(1, 1000000) AS g(x) WHERE x <= ? ORDER BY 1")) {
            select.setFetchSize(1000);
            select.setInt(1, FETCHED_ROWS);
            long rows = 0;
            try (ResultSet result = select.executeQuery(); Statement other = connection.createStatement()) {
                while (result.next()) {
                    rows++;
                    equal((int) rows, result.getInt(1), "a row");
                    equal("word " + rows, result.getString(2), "a word");
                    if (rows % 25_000 == 0) {
                        // Others run beside it.
                        try (ResultSet one = other.executeQuery("SELECT 1")) {
                            holds(one.next(), "a row beside");
                        }
                    }
                }
            }
            equal((long) FETCHED_ROWS, rows, "rows");
            // One that is left in the middle.
            try (ResultSet result = select.executeQuery()) {
                holds(result.next(), "a row");
            }
        }
        connection.commit();
        connection.setAutoCommit(true);
        // setMaxRows ends it early.
        try (Statement statement = connection.createStatement()) {
            statement.setMaxRows(10);
            try (ResultSet result = statement.executeQuery("SELECT x FROM generate_series(1, 1000) AS g(x)")) {
                int rows = 0;
                while (result.next()) {
                    rows++;
                }
                equal(10, rows, "rows at most");
            }
        }
    }

    private static void manyRows(Connection connection) throws SQLException {
        drop(connection, "pg_jdbc_r");
        execute(connection, "CREATE TABLE pg_jdbc_r (k int, w text)");
        execute(connection, "INSERT INTO pg_jdbc_r SELECT x::int, 'w' || x FROM generate_series(0, 999) AS g(x)");
        connection.setAutoCommit(false);
        long count = 0;
        long sum = 0;
        try (Statement statement = connection.createStatement()) {
            statement.setFetchSize(10_000);
            try (ResultSet rows = statement.executeQuery("SELECT a.k * 1000 + b.k AS n, b.w FROM pg_jdbc_r a, pg_jdbc_r b")) {
                while (rows.next()) {
                    count++;
                    sum += rows.getLong(1);
                }
            }
        }
        equal((long) MANY_ROWS, count, "rows");
        equal((long) MANY_ROWS * (MANY_ROWS - 1) / 2, sum, "their sum");
        connection.rollback();
        connection.setAutoCommit(true);
        drop(connection, "pg_jdbc_r");
    }

    private static void transactions(Connection connection) throws SQLException {
        drop(connection, "pg_jdbc_x");
        execute(connection, "CREATE TABLE pg_jdbc_x (k int)");
        connection.setAutoCommit(false);
        execute(connection, "INSERT INTO pg_jdbc_x VALUES (1)");
        connection.rollback();
        equal(0L, single(connection, "SELECT count(*) FROM pg_jdbc_x"), "rows after rollback");
        execute(connection, "INSERT INTO pg_jdbc_x VALUES (1), (2)");
        equal(2L, single(connection, "SELECT count(*) FROM pg_jdbc_x"), "rows in the transaction");
        connection.commit();
        connection.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
        equal(Connection.TRANSACTION_REPEATABLE_READ, connection.getTransactionIsolation(), "isolation");
        connection.commit();
        connection.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
        connection.commit();
        connection.setReadOnly(true);
        try {
            execute(connection, "INSERT INTO pg_jdbc_x VALUES (3)");
            throw new AssertionError("a read-only transaction wrote");
        } catch (SQLException expected) {
            equal("25006", expected.getSQLState(), "read only: " + expected.getMessage());
        }
        connection.rollback();
        connection.setReadOnly(false);
        execute(connection, "INSERT INTO pg_jdbc_x VALUES (3)");
        // Autocommit commits what is open.
        connection.setAutoCommit(true);
        equal(3L, single(connection, "SELECT count(*) FROM pg_jdbc_x"), "rows");
        // DDL, too.
        connection.setAutoCommit(false);
        execute(connection, "CREATE TABLE pg_jdbc_y (k int)");
        connection.rollback();
        connection.setAutoCommit(true);
        try {
            execute(connection, "SELECT * FROM pg_jdbc_y");
            throw new AssertionError("the table was rolled back");
        } catch (SQLException expected) {
            equal("42P01", expected.getSQLState(), "no table");
        }
        drop(connection, "pg_jdbc_x");
    }

    private static void savepoints(Connection connection) throws SQLException {
        drop(connection, "pg_jdbc_s");
        execute(connection, "CREATE TABLE pg_jdbc_s (k int)");
        connection.setAutoCommit(false);
        execute(connection, "INSERT INTO pg_jdbc_s VALUES (1)");
        Savepoint unnamed = connection.setSavepoint();
        execute(connection, "INSERT INTO pg_jdbc_s VALUES (2)");
        Savepoint named = connection.setSavepoint("a \"name\"");
        execute(connection, "INSERT INTO pg_jdbc_s VALUES (3)");
        connection.rollback(named);
        equal(2L, single(connection, "SELECT count(*) FROM pg_jdbc_s"), "rows");
        connection.releaseSavepoint(named);
        // After an error.
        try {
            execute(connection, "SELECT 1 / 0");
            throw new AssertionError("a division by zero");
        } catch (SQLException expected) {
            equal("22012", expected.getSQLState(), "division");
        }
        try {
            execute(connection, "SELECT 1");
            throw new AssertionError("the transaction goes on");
        } catch (SQLException expected) {
            equal("25P02", expected.getSQLState(), "failed transaction");
        }
        connection.rollback(unnamed);
        equal(1L, single(connection, "SELECT count(*) FROM pg_jdbc_s"), "rows");
        connection.commit();
        connection.setAutoCommit(true);
        equal(1L, single(connection, "SELECT count(*) FROM pg_jdbc_s"), "rows that stay");
        drop(connection, "pg_jdbc_s");
    }

    /** The driver sets a savepoint before each statement. */
    private static void autosave(Connection connection) throws SQLException {
        drop(connection, "pg_jdbc_o");
        execute(connection, "CREATE TABLE pg_jdbc_o (k int PRIMARY KEY)");
        connection.setAutoCommit(false);
        for (int time = 0; time < TIMES; time++) {
            try (PreparedStatement insert = connection.prepareStatement("INSERT INTO pg_jdbc_o VALUES (?)")) {
                insert.setInt(1, time);
                insert.executeUpdate();
            }
            try (PreparedStatement insert = connection.prepareStatement("INSERT INTO pg_jdbc_o VALUES (?)")) {
                insert.setInt(1, time);
                insert.executeUpdate();
                throw new AssertionError("a key twice");
            } catch (SQLException expected) {
                equal("23505", expected.getSQLState(), "a key twice");
            }
        }
        connection.commit();
        connection.setAutoCommit(true);
        equal((long) TIMES, single(connection, "SELECT count(*) FROM pg_jdbc_o"), "rows");
        drop(connection, "pg_jdbc_o");
    }

    private static void errors(Connection connection) throws SQLException {
        drop(connection, "pg_jdbc_e");
        execute(connection, "CREATE TABLE pg_jdbc_e (k int PRIMARY KEY, n int NOT NULL CHECK (n > 0))");
        execute(connection, "INSERT INTO pg_jdbc_e VALUES (1, 1)");
        String[][] wrong = {
            {"SELEC 1", "42601"}, {"SELECT nothing FROM pg_jdbc_e", "42703"}, {"SELECT 1 FROM pg_jdbc_nothing", "42P01"},
            {"INSERT INTO pg_jdbc_e VALUES (1, 2)", "23505"}, {"INSERT INTO pg_jdbc_e VALUES (2, NULL)", "23502"},
            {"INSERT INTO pg_jdbc_e VALUES (3, -1)", "23514"}, {"SELECT 'x'::int", "22P02"}, {"SELECT 2147483647::int + 1::int", "22003"},
            {"CREATE TABLE pg_jdbc_e (k int)", "42P07"}, {"SELECT nothing(1)", "42883"}, {"DROP TABLE pg_jdbc_nothing", "42P01"},
            {"SELECT k, count(*) FROM pg_jdbc_e", "42803"}, {"SELECT date '2026-13-01'", "22008"},
            {"INSERT INTO pg_jdbc_e (k, k) VALUES (1, 1)", "42701"}, {"SELECT * FROM pg_jdbc_e a, pg_jdbc_e b WHERE k = 1", "42702"},
        };
        List<String> unlike = new ArrayList<>();
        for (String[] pair : wrong) {
            try {
                execute(connection, pair[0]);
                unlike.add(pair[0] + ": no error");
            } catch (SQLException expected) {
                if (!pair[1].equals(expected.getSQLState())) {
                    unlike.add(pair[0] + ": " + expected.getSQLState() + " instead of " + pair[1] + ": " + expected.getMessage());
                }
            }
        }
        equal(List.of(), unlike, "SQLSTATEs");
        try {
            execute(connection, "SELECT nothing FROM pg_jdbc_e");
        } catch (PSQLException expected) {
            equal(8, expected.getServerErrorMessage().getPosition(), "position");
            equal("ERROR", expected.getServerErrorMessage().getSeverity(), "severity");
        }
        // Of a parameter, and the connection goes on.
        try (PreparedStatement select = connection.prepareStatement("SELECT 10 / ?")) {
            for (int time = 0; time < TIMES; time++) {
                select.setInt(1, time % 2);
                try (ResultSet row = select.executeQuery()) {
                    holds(row.next() && row.getInt(1) == 10, "a quotient");
                    holds(time % 2 == 1, "a division by zero");
                } catch (SQLException expected) {
                    equal("22012", expected.getSQLState(), "division");
                    holds(time % 2 == 0, "no division by zero");
                }
            }
        }
        drop(connection, "pg_jdbc_e");
    }

    private static void warnings(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute("DROP TABLE IF EXISTS pg_jdbc_nothing");
            SQLWarning warning = statement.getWarnings();
            holds(warning != null && warning.getMessage().contains("pg_jdbc_nothing"), "a notice: " + warning);
            equal("00000", warning.getSQLState(), "its SQLSTATE");
        }
    }

    private static void severalStatements(Connection connection) throws SQLException {
        drop(connection, "pg_jdbc_q");
        try (Statement statement = connection.createStatement()) {
            boolean isResult = statement.execute("CREATE TABLE pg_jdbc_q (k int); INSERT INTO pg_jdbc_q VALUES (1), (2); SELECT k FROM pg_jdbc_q; DELETE FROM pg_jdbc_q");
            holds(!isResult, "CREATE gives no rows");
            holds(!statement.getMoreResults(), "INSERT gives no rows");
            equal(2, statement.getUpdateCount(), "rows of INSERT");
            holds(statement.getMoreResults(), "SELECT gives rows");
            int rows = 0;
            try (ResultSet result = statement.getResultSet()) {
                while (result.next()) {
                    rows++;
                }
            }
            equal(2, rows, "rows");
            holds(!statement.getMoreResults(), "DELETE gives no rows");
            equal(2, statement.getUpdateCount(), "rows of DELETE");
            holds(!statement.getMoreResults() && statement.getUpdateCount() == -1, "that was all");
        }
        // JDBC's escapes, and question marks that are none.
        equal("2026-01-02", single(connection, "SELECT {d '2026-01-02'}").toString(), "{d}");
        equal("AB?", single(connection, "SELECT {fn concat({fn ucase('ab')}, '?')}"), "{fn}");
        drop(connection, "pg_jdbc_q");
    }

    private static void keys(Connection connection) throws SQLException {
        drop(connection, "pg_jdbc_g", "pg_jdbc_i");
        execute(connection, "CREATE TABLE pg_jdbc_g (id serial PRIMARY KEY, w text)");
        execute(connection, "CREATE TABLE pg_jdbc_i (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, w text)");
        for (String table : List.of("pg_jdbc_g", "pg_jdbc_i")) {
            try (PreparedStatement insert = connection.prepareStatement("INSERT INTO " + table + " (w) VALUES (?)", Statement.RETURN_GENERATED_KEYS)) {
                long last = 0;
                for (int time = 0; time < TIMES; time++) {
                    insert.setString(1, "w" + time);
                    equal(1, insert.executeUpdate(), "rows");
                    try (ResultSet keys = insert.getGeneratedKeys()) {
                        holds(keys.next(), "a key");
                        holds(keys.getLong("id") > last, "keys grow");
                        last = keys.getLong("id");
                    }
                }
            }
            // Only the columns that are asked for; of a batch, too.
            try (PreparedStatement insert = connection.prepareStatement("INSERT INTO " + table + " (w) VALUES (?)", new String[] {"id"})) {
                for (int time = 0; time < TIMES; time++) {
                    insert.setString(1, "b" + time);
                    insert.addBatch();
                }
                insert.executeBatch();
                try (ResultSet keys = insert.getGeneratedKeys()) {
                    int count = 0;
                    while (keys.next()) {
                        equal(1, keys.getMetaData().getColumnCount(), "columns");
                        count++;
                    }
                    equal(TIMES, count, "keys of a batch");
                }
            }
            try (PreparedStatement update = connection.prepareStatement("UPDATE " + table + " SET w = ? WHERE w = ? RETURNING id, w")) {
                update.setString(1, "new");
                update.setString(2, "w3");
                try (ResultSet rows = update.executeQuery()) {
                    holds(rows.next(), "a row");
                    equal("new", rows.getString("w"), "RETURNING");
                }
            }
        }
        drop(connection, "pg_jdbc_g", "pg_jdbc_i");
    }

    private static void copy(Connection connection) throws Exception {
        drop(connection, "pg_jdbc_f");
        execute(connection, "CREATE TABLE pg_jdbc_f (k int, w text, d date)");
        CopyManager manager = connection.unwrap(PGConnection.class).getCopyAPI();
        StringBuilder rows = new StringBuilder();
        for (int row = 0; row < COPIED_ROWS; row++) {
            rows.append(row).append('\t').append(row % 7 == 0 ? "\\N" : "wörd\\t" + row).append("\t2026-01-02\n");
        }
        equal((long) COPIED_ROWS, manager.copyIn("COPY pg_jdbc_f FROM STDIN", new StringReader(rows.toString())), "rows in");
        String csv = "k,w,d\n-1,\"a,\"\"b\"\"\",\n-2,,1999-12-31\n";
        equal(2L, manager.copyIn("COPY pg_jdbc_f FROM STDIN WITH (FORMAT csv, HEADER true)", new StringReader(csv)), "rows of CSV in");
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        equal((long) COPIED_ROWS, manager.copyOut("COPY (SELECT k, w, d FROM pg_jdbc_f WHERE k >= 0 ORDER BY k) TO STDOUT", out), "rows out");
        holds(out.toString(StandardCharsets.UTF_8).equals(rows.toString()), "they are as they went in");
        out.reset();
        manager.copyOut("COPY (SELECT k, w, d FROM pg_jdbc_f WHERE k < 0 ORDER BY k DESC) TO STDOUT (FORMAT csv, HEADER)", out);
        equal(csv, out.toString(StandardCharsets.UTF_8), "CSV out");
        try {
            manager.copyIn("COPY pg_jdbc_f FROM STDIN", new StringReader("1\tx\t2026-01-02\nx\ty\t\\N\n"));
            throw new AssertionError("a wrong row");
        } catch (SQLException expected) {
            equal("22P02", expected.getSQLState(), "a wrong row: " + expected.getMessage());
        }
        equal(COPIED_ROWS + 2L, single(connection, "SELECT count(*) FROM pg_jdbc_f"), "rows after a COPY that failed");
        // One that the client gives up, in a transaction.
        connection.setAutoCommit(false);
        var in = manager.copyIn("COPY pg_jdbc_f FROM STDIN");
        byte[] line = "5\tx\t\\N\n".getBytes(StandardCharsets.UTF_8);
        in.writeToCopy(line, 0, line.length);
        in.cancelCopy();
        connection.rollback();
        // More rows than anybody keeps: it cannot have ended when it is given up. The driver loses count of the answers to a COPY whose
        // cancelCopy it is, so that this is done otherwise.
        try (Connection other = connect("")) {
            CopyOut half = other.unwrap(PGConnection.class).getCopyAPI()
                .copyOut("COPY (SELECT a.w, b.w FROM pg_jdbc_f a, pg_jdbc_f b) TO STDOUT");
            holds(half.readFromCopy() != null, "a row");
            other.unwrap(PGConnection.class).cancelQuery();
            try {
                while (half.readFromCopy() != null) {
                    // Rows on the way.
                }
                throw new AssertionError("a COPY that was cancelled ends well");
            } catch (SQLException expected) {
                equal("57014", expected.getSQLState(), "a COPY that was cancelled: " + expected.getMessage());
            }
        }
        connection.setAutoCommit(true);
        equal(COPIED_ROWS + 2L, single(connection, "SELECT count(*) FROM pg_jdbc_f"), "rows after a COPY that was given up");
        drop(connection, "pg_jdbc_f");
    }

    private static void cancel(Connection connection) throws Exception {
        try (Statement statement = connection.createStatement()) {
            Thread canceller = new Thread(() -> {
                try {
                    TimeUnit.MILLISECONDS.sleep(500);
                    statement.cancel();
                } catch (Exception failure) {
                    System.err.println("cancel: " + failure);
                }
            });
            canceller.start();
            Instant began = Instant.now();
            try (ResultSet rows = statement.executeQuery(LONG)) {
                throw new AssertionError("a cancelled query ends well");
            } catch (SQLException expected) {
                equal("57014", expected.getSQLState(), "cancel: " + expected.getMessage());
            }
            holds(Duration.between(began, Instant.now()).toSeconds() < 20, "it ends at once");
            canceller.join();
        }
        equal(1L, ((Number) single(connection, "SELECT 1")).longValue(), "the connection goes on");
    }

    private static void timeout(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.setQueryTimeout(1);
            try (ResultSet rows = statement.executeQuery(LONG)) {
                throw new AssertionError("a query without end ends well");
            } catch (SQLException expected) {
                equal("57014", expected.getSQLState(), "timeout: " + expected.getMessage());
            }
            statement.setQueryTimeout(30);
            try (ResultSet rows = statement.executeQuery("SELECT 1")) {
                holds(rows.next(), "the next one");
            }
        }
        connection.setNetworkTimeout(Runnable::run, 60_000);
        holds(connection.isValid(5), "the connection goes on");
    }

    private static void settings(Connection connection) throws SQLException {
        equal("pg_jdbc_other", single(connection, "SHOW search_path"), "currentSchema");
        equal("of a test", single(connection, "SELECT current_setting('application_name')"), "ApplicationName");
        equal("3", single(connection, "SHOW extra_float_digits"), "options");
        connection.setSchema("public");
        equal("public", connection.getSchema(), "schema");
        connection.setClientInfo("ApplicationName", "another");
        equal("another", single(connection, "SHOW application_name"), "setClientInfo");
        execute(connection, "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY");
        equal("on", single(connection, "SHOW default_transaction_read_only"), "SESSION CHARACTERISTICS");
        execute(connection, "DISCARD ALL");
        equal("off", single(connection, "SHOW default_transaction_read_only"), "after DISCARD ALL");
    }

    private static void drop(Connection connection, String... tables) throws SQLException {
        for (String table : tables) {
            execute(connection, "DROP TABLE IF EXISTS " + table);
        }
    }

    private static void execute(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    private static Object single(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
            holds(rows.next(), sql);
            return rows.getObject(1);
        }
    }

    private static List<String> column(ResultSet rows, String name) throws SQLException {
        List<String> values = new ArrayList<>();
        try (rows) {
            while (rows.next()) {
                values.add(rows.getString(name));
            }
        }
        return values;
    }

    private static List<String> pairs(ResultSet rows, String first, String second) throws SQLException {
        List<String> values = new ArrayList<>();
        try (rows) {
            while (rows.next()) {
                values.add(rows.getString(first) + " " + rows.getString(second));
            }
        }
        values.sort(null);
        return values;
    }

    private static void equal(Object wanted, Object found, String what) {
        holds(Objects.equals(wanted, found), what + ": " + found + " instead of " + wanted);
    }

    private static void holds(boolean condition, String what) {
        if (!condition) {
            throw new AssertionError(what);
        }
    }
}
