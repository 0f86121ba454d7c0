import java.math.BigDecimal;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.time.LocalDate;
import java.time.LocalDateTime;

/**
 * Fetches all rows of a query through PostgreSQL's JDBC driver, in binary, a portion at a time, and reads every value. Arguments: the
 * port, rows of a portion, the query. Prints one JSON object: how many rows there were, what their first columns add up to, and how long
 * that took, without the connection.
 */
public class Fetch {
    public static void main(String[] arguments) throws Exception {
        // A negative threshold: binary from the first execution on.
        String url = "jdbc:postgresql://127.0.0.1:" + arguments[0] + "/damson?user=bench&prepareThreshold=-1";
        long rows = 0;
        long keys = 0;
        long seen = 0;
        double seconds;
        String version;
        try (Connection connection = DriverManager.getConnection(url)) {
            version = connection.getMetaData().getDriverVersion();
            // With autocommit the driver would keep the whole result.
            connection.setAutoCommit(false);
            long started = System.nanoTime();
            try (PreparedStatement statement = connection.prepareStatement(arguments[2])) {
                statement.setFetchSize(Integer.parseInt(arguments[1]));
                try (ResultSet result = statement.executeQuery()) {
                    if (result.getMetaData().getColumnCount() != 10) {
                        throw new AssertionError(result.getMetaData().getColumnCount() + " columns");
                    }
                    while (result.next()) {
                        rows++;
                        keys += result.getLong(1);
                        seen += read(result);
                    }
                }
            }
            seconds = (System.nanoTime() - started) / 1e9;
            connection.commit();
        }
        if (seen == 0) {
            throw new AssertionError("no value was read");
        }
        System.out.printf(
            java.util.Locale.ROOT,
            "{\"version\": \"%s\", \"seconds\": %.6f, \"rows\": %d, \"keys\": %d, \"streams\": 1, \"peak_bytes\": %d}%n",
            version, seconds, rows, keys, peakBytes());
    }

    /** Every value but the first, made into what keeps the compiler from leaving it out. */
    private static long read(ResultSet result) throws Exception {
        long seen = result.getInt(2);
        seen += Double.doubleToRawLongBits(result.getDouble(3));
        BigDecimal amount = result.getBigDecimal(4);
        seen += amount.scale();
        seen += result.getObject(5, LocalDate.class).getDayOfMonth();
        seen += result.getObject(6, LocalDateTime.class).getSecond();
        seen += result.getBoolean(7) ? 1 : 0;
        seen += result.getString(8).length();
        seen += result.getString(9).length();
        int maybe = result.getInt(10);
        return result.wasNull() ? seen : seen + maybe;
    }

    private static long peakBytes() throws Exception {
        for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
            if (line.startsWith("VmHWM:")) {
                return Long.parseLong(line.replaceAll("[^0-9]", "")) << 10;
            }
        }
        throw new AssertionError("/proc/self/status has no VmHWM");
    }
}
