// Server PORT LEAF CLIENT: com.sun.net.httpserver with a pool of threads; each request calls the leaf
// with java.net.http.HttpClient ("new") or HttpURLConnection ("old").
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.URL;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.concurrent.Executors;

public class Server {
    static String leaf;
    static final HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

    static byte[] callNew(String path, String truth) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(leaf + path)).header("X-Truth", truth).build();
        return client.send(request, HttpResponse.BodyHandlers.ofByteArray()).body();
    }

    static byte[] callOld(String path, String truth) throws Exception {
        HttpURLConnection connection = (HttpURLConnection) new URL(leaf + path).openConnection();
        connection.setRequestProperty("X-Truth", truth);
        try (InputStream in = connection.getInputStream()) {
            return in.readAllBytes();
        }
    }

    static void serve(HttpExchange exchange, boolean old) throws IOException {
        String path = "/leaf/" + exchange.getRequestURI().getPath().replaceAll(".*/", "");
        String truth = exchange.getRequestHeaders().getFirst("X-Truth");
        int status = 200;
        byte[] body;
        try {
            body = old ? callOld(path, truth) : callNew(path, truth);
        } catch (Exception e) {
            status = 502;
            body = e.toString().getBytes();
        }
        exchange.sendResponseHeaders(status, body.length);
        exchange.getResponseBody().write(body);
        exchange.close();
    }

    public static void main(String[] args) throws Exception {
        leaf = "http://127.0.0.1:" + args[1];
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0])), 512);
        server.createContext("/", exchange -> serve(exchange, args[2].equals("old")));
        server.setExecutor(Executors.newFixedThreadPool(16));
        server.start();
    }
}
