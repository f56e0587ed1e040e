import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

/** Creates two generations, one after the other, as a store's Java server does: over one client. */
public final class CreateTwice {
    public static void main(String[] arguments) throws Exception {
        var address = URI.create(arguments[0]);
        var authorization = arguments[1];
        var body = arguments[2];
        var client = HttpClient.newHttpClient();
        for (var requestId : new String[] {"java-1", "java-2"}) {
            var request = HttpRequest.newBuilder(address)
                .header("Authorization", authorization)
                .header("Content-Type", "application/json")
                .header("X-Request-Id", requestId)
                .POST(HttpRequest.BodyPublishers.ofString(body))
                .build();
            var answer = client.send(request, HttpResponse.BodyHandlers.ofString());
            System.out.println(answer.statusCode() + " " + answer.body());
        }
    }
}
