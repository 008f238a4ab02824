// Gets access tokens for an application with Spring Security's OAuth client, by each way that it can authenticate.
//
//   java -cp '.tools/spring/*' tests/clients/spring/Credentials.java ISSUER ID SECRET KEYED_ID JWK PKCS8
//
// The application KEYED_ID has the key of that public JWK, whose private half is PKCS8 in base64. Each token is a line: the way, and the token.

import com.nimbusds.jose.jwk.ECKey;
import java.security.KeyFactory;
import java.security.interfaces.ECPrivateKey;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import java.util.List;
import java.util.Set;
import org.springframework.security.oauth2.client.endpoint.NimbusJwtClientAuthenticationParametersConverter;
import org.springframework.security.oauth2.client.endpoint.OAuth2ClientCredentialsGrantRequest;
import org.springframework.security.oauth2.client.endpoint.RestClientClientCredentialsTokenResponseClient;
import org.springframework.security.oauth2.client.registration.ClientRegistration;
import org.springframework.security.oauth2.core.AuthorizationGrantType;
import org.springframework.security.oauth2.core.ClientAuthenticationMethod;
import org.springframework.security.oauth2.core.OAuth2AuthorizationException;
import org.springframework.security.oauth2.core.endpoint.OAuth2AccessTokenResponse;

public class Credentials {
    public static void main(String[] arguments) throws Exception {
        String issuer = arguments[0], id = arguments[1], secret = arguments[2], keyedId = arguments[3];
        PKCS8EncodedKeySpec half = new PKCS8EncodedKeySpec(Base64.getDecoder().decode(arguments[5]));
        ECKey key = new ECKey.Builder(ECKey.parse(arguments[4]))
                .privateKey((ECPrivateKey) KeyFactory.getInstance("EC").generatePrivate(half))
                .build();
        NimbusJwtClientAuthenticationParametersConverter<OAuth2ClientCredentialsGrantRequest> assertions =
                new NimbusJwtClientAuthenticationParametersConverter<>(registration -> key);
        // Spring names the address of the call, and authledger takes the issuer alone.
        assertions.setJwtClientAssertionCustomizer(assertion -> assertion.getClaims().audience(List.of(issuer)));
        RestClientClientCredentialsTokenResponseClient client = new RestClientClientCredentialsTokenResponseClient();
        client.addParametersConverter(assertions);

        for (ClientAuthenticationMethod method : List.of(
                ClientAuthenticationMethod.CLIENT_SECRET_BASIC, ClientAuthenticationMethod.CLIENT_SECRET_POST)) {
            System.out.println(method.getValue() + " " + get(client, registration(issuer, id, secret, method)));
        }
        ClientAuthenticationMethod byKey = ClientAuthenticationMethod.PRIVATE_KEY_JWT;
        System.out.println(byKey.getValue() + " " + get(client, registration(issuer, keyedId, "", byKey)));

        ClientRegistration wrong = registration(issuer, id, "wrong", ClientAuthenticationMethod.CLIENT_SECRET_BASIC);
        try {
            get(client, wrong);
        } catch (OAuth2AuthorizationException refused) {
            System.out.println("refused " + refused.getError().getErrorCode());
        }
    }

    private static ClientRegistration registration(
            String issuer, String id, String secret, ClientAuthenticationMethod method) {
        return ClientRegistration.withRegistrationId("authledger")
                .tokenUri(issuer + "/oauth2/token")
                .clientId(id)
                .clientSecret(secret)
                .clientAuthenticationMethod(method)
                .authorizationGrantType(AuthorizationGrantType.CLIENT_CREDENTIALS)
                .scope("introspect")
                .build();
    }

    private static String get(RestClientClientCredentialsTokenResponseClient client, ClientRegistration registration) {
        OAuth2AccessTokenResponse response =
                client.getTokenResponse(new OAuth2ClientCredentialsGrantRequest(registration));
        if (!response.getAccessToken().getScopes().equals(Set.of("introspect"))) {
            throw new AssertionError("other scopes: " + response.getAccessToken().getScopes());
        }
        return response.getAccessToken().getTokenValue();
    }
}
