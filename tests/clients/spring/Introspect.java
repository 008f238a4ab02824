// Asks with Spring Security's introspector, as its documentation shows: once with the constructor, which writes the halves of
// Basic as they are, and once with the builder, which escapes them.
//
//   java -cp '.tools/spring/*' tests/clients/spring/Introspect.java URI ID SECRET SUBJECT
//
// The standard input has a token a line, and each is answered with `active` or `inactive`, and the way that asked.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import org.springframework.security.oauth2.core.OAuth2AuthenticatedPrincipal;
import org.springframework.security.oauth2.server.resource.introspection.BadOpaqueTokenException;
import org.springframework.security.oauth2.server.resource.introspection.OpaqueTokenIntrospector;
import org.springframework.security.oauth2.server.resource.introspection.SpringOpaqueTokenIntrospector;

public class Introspect {
    public static void main(String[] arguments) throws Exception {
        String uri = arguments[0], id = arguments[1], secret = arguments[2], subject = arguments[3];
        Map<String, OpaqueTokenIntrospector> ways = Map.of(
            "raw", new SpringOpaqueTokenIntrospector(uri, id, secret),
            "escaped", SpringOpaqueTokenIntrospector.withIntrospectionUri(uri).clientId(id).clientSecret(secret).build());
        BufferedReader tokens = new BufferedReader(new InputStreamReader(System.in));
        for (String token; (token = tokens.readLine()) != null;) {
            for (String way : List.of("raw", "escaped")) {
                System.out.println(way + " " + ask(ways.get(way), token, subject));
            }
        }
    }

    private static String ask(OpaqueTokenIntrospector introspector, String token, String subject) {
        OAuth2AuthenticatedPrincipal principal;
        try {
            principal = introspector.introspect(token);
        } catch (BadOpaqueTokenException inactive) {
            return "inactive";
        }
        if (!principal.getName().equals(subject) && !subject.equals(principal.getAttribute("sub"))) {
            throw new AssertionError("another subject: " + principal.getAttributes());
        }
        Instant issuedAt = principal.getAttribute("iat"), expiresAt = principal.getAttribute("exp");
        if (issuedAt != null && !issuedAt.isBefore(expiresAt)) {
            throw new AssertionError("times: " + principal.getAttributes());
        }
        return "active " + principal.getAuthorities().stream().map(Object::toString).sorted().toList();
    }
}
