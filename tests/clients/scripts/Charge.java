// Charges with java.net.http.HttpClient, then with HttpsURLConnection; nothing is set up in the code.
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;

public class Charge {
    static final URI INTENTS = URI.create("https://api.stripe.com/v1/payment_intents");
    static final String KEY = "Bearer " + System.getenv("STRIPE_API_KEY");
    static final String FORM = "application/x-www-form-urlencoded";

    static String charge(int amount) {
        return "amount=" + amount + "&currency=usd&payment_method=pm_card_visa&confirm=true";
    }

    public static void main(String[] arguments) throws Exception {
        var request = HttpRequest.newBuilder(INTENTS).header("Authorization", KEY).header("Content-Type", FORM)
            .POST(HttpRequest.BodyPublishers.ofString(charge(2000))).build();
        System.out.println(HttpClient.newHttpClient().send(request, BodyHandlers.ofString()).statusCode());

        var connection = (HttpURLConnection) INTENTS.toURL().openConnection();
        connection.setRequestProperty("Authorization", KEY);
        connection.setRequestProperty("Content-Type", FORM);
        connection.setDoOutput(true);
        connection.getOutputStream().write(charge(9000).getBytes(StandardCharsets.UTF_8));
        System.out.println(connection.getResponseCode());
    }
}
