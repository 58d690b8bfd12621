// Client PORT: java.net.http.HttpClient in its standard setting (it offers HTTP/2), asynchronously; then child processes.
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;

public class Client {
    public static void main(String[] args) throws Exception {
        String base = "http://127.0.0.1:" + args[0];
        HttpClient client = HttpClient.newHttpClient();
        List<CompletableFuture<HttpResponse<String>>> pending = new ArrayList<>();
        for (int i = 0; i < 50; i++) {
            HttpRequest request = HttpRequest.newBuilder(URI.create(base + "/j/" + i)).build();
            pending.add(client.sendAsync(request, HttpResponse.BodyHandlers.ofString()));
        }
        TreeMap<Integer, Integer> statuses = new TreeMap<>();
        for (CompletableFuture<HttpResponse<String>> answer : pending)
            statuses.merge(answer.get().statusCode(), 1, Integer::sum);
        System.out.println(statuses);
        HttpRequest post = HttpRequest.newBuilder(URI.create(base + "/post"))
            .POST(HttpRequest.BodyPublishers.ofString("p".repeat(100000))).build();
        System.out.println(client.send(post, HttpResponse.BodyHandlers.ofString()).body());
        for (int i = 0; i < 5; i++) {
            Process child = new ProcessBuilder("sh", "-c", "echo child " + i + "; exit " + i).redirectErrorStream(true).start();
            System.out.print(new String(child.getInputStream().readAllBytes()));
            System.out.println(child.waitFor());
        }
    }
}
