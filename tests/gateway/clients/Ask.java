// What Java's own client does as it comes: it offers HTTP/2 with its first request, and keeps its connection.
// Run as: java Ask.java <address> <body of a request>; prints a line for each answer.

import java.io.ByteArrayInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;

public class Ask {
    private static final HttpClient CLIENT = HttpClient.newHttpClient();

    private static void ask(String address, String path, BodyPublisher body, boolean expecting) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(address + path))
            .header("Content-Type", "application/json").expectContinue(expecting).POST(body).build();
        var answer = CLIENT.send(request, BodyHandlers.ofString());
        System.out.println(path + " " + answer.version() + " " + answer.statusCode() + " " + answer.body());
    }

    public static void main(String[] words) throws Exception {
        String address = words[0], infer = "/v2/models/toy.UA/infer", body = words[1];
        for (int round = 0; round < 2; round++) {
            ask(address, infer, BodyPublishers.ofString(body), false);
        }
        ask(address, infer, BodyPublishers.ofString(body), true);
        ask(address, infer, BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(body.getBytes())), false);
        ask(address, "/v2/repository/index", BodyPublishers.ofString("{\"ready\": \"yes\"}"), false);
        ask(address, "/v2/repository/index", BodyPublishers.noBody(), false);
    }
}
