import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisFuture;
import io.lettuce.core.api.StatefulRedisConnection;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.JedisPool;
import redis.clients.jedis.JedisPoolConfig;
import redis.clients.jedis.Pipeline;
import redis.clients.jedis.Response;
import redis.clients.jedis.Transaction;

/** Asks Redis by Jedis or Lettuce: java Ask jedis|lettuce PORT. */
public class Ask {
    static void jedis(int port) throws Exception {
        JedisPoolConfig config = new JedisPoolConfig();
        config.setMaxTotal(4);
        config.setJmxEnabled(false);
        try (JedisPool pool = new JedisPool(config, "127.0.0.1", port)) {
            try (Jedis c = pool.getResource()) {
                System.out.println(c.set("hunter2", "hunter2") + " " + c.get("hunter2") + " " + c.get("nothing"));
                Pipeline p = c.pipelined();
                List<Response<String>> said = new ArrayList<>();
                for (int i = 0; i < 500; i++) said.add(p.set("k" + i, "hunter2"));
                p.sync();
                System.out.println(said.get(499).get());
                Transaction t = c.multi();
                t.incr("n");
                t.hset("h", Map.of("f", "hunter2"));
                System.out.println(t.exec());
                try {
                    c.lpush("n", "1");
                } catch (Exception e) {
                    System.out.println(e.getMessage());
                }
                System.out.println(c.set("big", "b".repeat(3000000)) + " " + c.get("big").length());
            }
            Thread[] threads = new Thread[4];
            for (int i = 0; i < 4; i++) {
                threads[i] = new Thread(() -> {
                    for (int n = 0; n < 50; n++) try (Jedis c = pool.getResource()) {
                        c.incr("t");
                    }
                });
                threads[i].start();
            }
            for (Thread t : threads) t.join();
            try (Jedis c = pool.getResource()) {
                System.out.println(c.get("t"));
            }
        }
    }

    static void lettuce(int port) throws Exception {
        RedisClient client = RedisClient.create("redis://127.0.0.1:" + port);
        try (StatefulRedisConnection<String, String> c = client.connect()) {
            System.out.println(c.sync().set("hunter2", "hunter2") + " " + c.sync().get("hunter2") + " " + c.sync().get("nothing"));
            List<RedisFuture<String>> said = new ArrayList<>();
            for (int i = 0; i < 500; i++) said.add(c.async().set("k" + i, "hunter2"));
            for (RedisFuture<String> s : said) s.get(10, TimeUnit.SECONDS);
            System.out.println(said.get(499).get());
            c.sync().multi();
            c.sync().incr("n");
            c.sync().hset("h", Map.of("f", "hunter2"));
            System.out.println(c.sync().exec().size());
            try {
                c.sync().lpush("n", "1");
            } catch (Exception e) {
                System.out.println(e.getMessage());
            }
            System.out.println(c.sync().set("big", "b".repeat(3000000)) + " " + c.sync().get("big").length());
            Thread[] threads = new Thread[4];
            for (int i = 0; i < 4; i++) {
                threads[i] = new Thread(() -> {
                    for (int n = 0; n < 50; n++) c.sync().incr("t");
                });
                threads[i].start();
            }
            for (Thread t : threads) t.join();
            System.out.println(c.sync().get("t"));
        }
        client.shutdown(0, 0, TimeUnit.SECONDS);
    }

    public static void main(String[] args) throws Exception {
        if (args[0].equals("jedis")) jedis(Integer.parseInt(args[1]));
        else lettuce(Integer.parseInt(args[1]));
    }
}
