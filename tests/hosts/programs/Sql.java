/* JDBC: statements, prepared ones, batches, a transaction, an error.  Usage: Sql URL FAILING LAST */
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;

public class Sql {
	static int rows(ResultSet r) throws SQLException {
		int n = 0;
		while (r.next())
			n++;
		return n;
	}

	public static void main(String[] args) throws SQLException {
		try (Connection c = DriverManager.getConnection(args[0]); Statement s = c.createStatement()) {
			s.execute("CREATE TEMPORARY TABLE t (id int, name text)");
			c.setAutoCommit(false);
			try (PreparedStatement p = c.prepareStatement("INSERT INTO t VALUES (?, ?)")) {
				for (int i = 0; i < 20; i++) {
					p.setInt(1, i);
					p.setString(2, "hunter2");
					p.addBatch();
				}
				System.out.println(p.executeBatch().length);
			}
			c.commit();
			c.setAutoCommit(true);
			try (PreparedStatement p = c.prepareStatement("SELECT name FROM t WHERE name = 'hunter2' AND id < ?")) {
				for (int i = 0; i < 8; i++) { /* from the fifth on it has a name */
					p.setInt(1, i);
					System.out.println(rows(p.executeQuery()));
				}
			}
			try {
				s.executeQuery(args[1]);
			} catch (SQLException e) {
				System.out.println(e.getSQLState());
			}
			System.out.println(rows(s.executeQuery(args[2])));
		}
	}
}
