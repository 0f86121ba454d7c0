import java.lang.reflect.Method;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * What a JDBC user does, through the Arrow Flight SQL driver. Arguments: the port, and the
 * URL's parameters if they are not those of a server without TLS that lets everybody in. Needs the table
 * {@code t (k int PRIMARY KEY, w text)}, empty. Prints a line for each step that went well, and fails at the first that did not.
 */
public class FlightJdbc {
    private static final int BATCH_ROWS = 1000;
    private static final int MANY_ROWS = 1_000_000;

    public static void main(String[] arguments) {
        try {
            run(arguments[0], arguments.length > 1 ? arguments[1] : "useEncryption=false&user=jdbc&password=any");
        } catch (Throwable failure) {
            failure.printStackTrace();
            System.exit(1);
        }
        System.exit(0);
    }

    private static void run(String port, String parameters) throws Exception {
        // Nothing here takes long: what hangs must not take the other tests' time.
        Thread watchdog = new Thread(() -> {
            try {
                TimeUnit.SECONDS.sleep(120);
                System.err.println("still running after 120 s");
            } catch (InterruptedException interrupted) {
                System.err.println("interrupted");
            }
            Runtime.getRuntime().halt(3);
        });
        watchdog.setDaemon(true);
        watchdog.start();

        String url = "jdbc:arrow-flight-sql://127.0.0.1:" + port + "?" + parameters;
        try (Connection connection = DriverManager.getConnection(url)) {
            DatabaseMetaData metadata = connection.getMetaData();
            equal("Damson", metadata.getDatabaseProductName(), "product");
            passed("connect");
            metadata(metadata);
            passed("metadata");
            batch(connection);
            passed("batch");
            parameters(connection);
            passed("parameters");
            manyRows(connection);
            passed("rows");
            parallel(connection);
            passed("parallel");
            cancel(connection);
            passed("cancel");
        }
        passed("close");
    }

    private static void metadata(DatabaseMetaData metadata) throws SQLException {
        equal(List.of("damson"), column(metadata.getCatalogs(), "TABLE_CAT"), "catalogs");
        holds(column(metadata.getSchemas(), "TABLE_SCHEM").contains("public"), "schemas have public");
        holds(column(metadata.getTableTypes(), "TABLE_TYPE").contains("TABLE"), "table types have TABLE");
        equal(List.of("t"), column(metadata.getTables(null, "public", "t", new String[] {"TABLE"}), "TABLE_NAME"), "tables");
        equal(List.of("k", "w"), column(metadata.getColumns(null, "public", "t", null), "COLUMN_NAME"), "columns");
        try (ResultSet columns = metadata.getColumns(null, "public", "t", null)) {
            holds(columns.next(), "there is k");
            equal(DatabaseMetaData.columnNoNulls, columns.getInt("NULLABLE"), "k is NOT NULL");
            holds(columns.next(), "there is w");
            equal(DatabaseMetaData.columnNullable, columns.getInt("NULLABLE"), "w may be NULL");
        }
        equal(List.of("k"), column(metadata.getPrimaryKeys(null, "public", "t"), "COLUMN_NAME"), "primary key");
        equal(List.of(), column(metadata.getImportedKeys(null, "public", "t"), "FKCOLUMN_NAME"), "imported keys");
        equal(List.of(), column(metadata.getExportedKeys(null, "public", "t"), "FKCOLUMN_NAME"), "exported keys");
        everythingIsKnown(metadata);
        holds(metadata.supportsTransactionIsolationLevel(Connection.TRANSACTION_REPEATABLE_READ), "REPEATABLE READ");
        equal(Connection.TRANSACTION_READ_COMMITTED, metadata.getDefaultTransactionIsolation(), "isolation");
        holds(metadata.supportsResultSetType(ResultSet.TYPE_FORWARD_ONLY), "results are read forward");
        holds(metadata.supportsConvert(), "CAST");
        equal(1600, metadata.getMaxColumnsInTable(), "columns of a table");
    }

    /// Tools ask all of these, and the driver fails where the server gives no value.
    private static void everythingIsKnown(DatabaseMetaData metadata) {
        for (Method method : DatabaseMetaData.class.getMethods()) {
            if (method.getParameterCount() > 0) {
                continue;
            }
            try {
                if (method.invoke(metadata) instanceof ResultSet rows) {
                    rows.close();
                }
            } catch (ReflectiveOperationException | SQLException failure) {
                throw new AssertionError(method.getName() + ": " + failure.getCause(), failure);
            }
        }
    }

    private static void batch(Connection connection) throws SQLException {
        try (PreparedStatement insert = connection.prepareStatement("INSERT INTO t (k, w) VALUES ($1, $2)")) {
            for (int row = 0; row < BATCH_ROWS; row++) {
                insert.setInt(1, row);
                insert.setString(2, "w" + row);
                insert.addBatch();
            }
            insert.executeBatch();
        }
        equal((long) BATCH_ROWS, number(connection, "SELECT count(*) FROM t WHERE w = 'w' || k::text"), "rows of the batch");
    }

    private static void parameters(Connection connection) throws SQLException {
        try (PreparedStatement select = connection.prepareStatement("SELECT k, w FROM t WHERE k = $1")) {
            for (int wanted : new int[] {7, 999}) {
                select.setInt(1, wanted);
                try (ResultSet rows = select.executeQuery()) {
                    holds(rows.next(), "there is a row");
                    equal(wanted, rows.getInt(1), "k");
                    equal("w" + wanted, rows.getString(2), "w");
                    holds(!rows.next(), "there is one row");
                }
            }
        }
    }

    private static void manyRows(Connection connection) throws SQLException {
        long count = 0;
        long sum = 0;
        String sql = "SELECT a.k * " + BATCH_ROWS + " + b.k AS n, b.w FROM t a, t b";
        try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
            while (rows.next()) {
                count++;
                sum += rows.getLong(1);
            }
        }
        equal((long) MANY_ROWS, count, "rows");
        equal((long) MANY_ROWS * (MANY_ROWS - 1) / 2, sum, "their sum");
    }

    /** The same rows in a stream for each segment, all of which the driver reads. */
    private static void parallel(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.executeUpdate("SET parallel_retrieve = on");
        }
        manyRows(connection);
        try (Statement statement = connection.createStatement()) {
            statement.executeUpdate("SET parallel_retrieve = off");
        }
    }

    /** A query of 10^12 rows ends soon after it is cancelled, and the connection goes on. */
    private static void cancel(Connection connection) throws Exception {
        String sql = "SELECT count(*) FROM t a, t b, t c, t d WHERE a.k + b.k + c.k + d.k = -1";
        try (Statement statement = connection.createStatement()) {
            Thread canceller = new Thread(() -> {
                try {
                    TimeUnit.SECONDS.sleep(1);
                    statement.cancel();
                } catch (Exception failure) {
                    System.err.println("cancel: " + failure);
                }
            });
            canceller.start();
            boolean ended = false;
            try (ResultSet rows = statement.executeQuery(sql)) {
                rows.next();
            } catch (SQLException expected) {
                ended = true;
            }
            canceller.join();
            holds(ended, "a cancelled query fails");
        }
        equal((long) BATCH_ROWS, number(connection, "SELECT count(*) FROM t"), "rows after the cancel");
    }

    private static long number(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
            holds(rows.next(), sql);
            return rows.getLong(1);
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

    private static void passed(String step) {
        System.out.println("passed " + step);
    }

    private static void equal(Object wanted, Object found, String what) {
        holds(wanted.equals(found), what + ": " + found + " instead of " + wanted);
    }

    private static void holds(boolean condition, String what) {
        if (!condition) {
            throw new AssertionError(what);
        }
    }
}
