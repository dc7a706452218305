// SPDX-License-Identifier: Apache-2.0
// An HTTPS client as Java programs are: the key store is PKCS#11, everything else JSSE's default.
//
//   java MutualTls.java MODULE TRUSTED_PEM PROTOCOL URL...
//
// It prints what each server said, or "error" and the exception.

import java.io.FileInputStream;
import java.io.InputStream;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.security.KeyStore;
import java.security.Provider;
import java.security.Security;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

public class MutualTls {
    public static void main(String[] args) throws Exception {
        Provider provider = Security.getProvider("SunPKCS11")
            .configure("--name = agent\nlibrary = " + args[0] + "\n");
        Security.addProvider(provider);
        KeyStore keys = KeyStore.getInstance("PKCS11", provider);
        keys.load(null, null);
        KeyManagerFactory keyManagers = KeyManagerFactory.getInstance("SunX509");
        keyManagers.init(keys, null);

        TrustManagerFactory trustManagers = TrustManagerFactory.getInstance("PKIX");
        trustManagers.init(trusted(args[1]));

        System.setProperty("jdk.tls.client.protocols", args[2]);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keyManagers.getKeyManagers(), trustManagers.getTrustManagers(), null);
        for (int i = 3; i < args.length; i++) {
            System.out.println(get(context, args[i]));
        }
    }

    private static KeyStore trusted(String file) throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        try (InputStream in = new FileInputStream(file)) {
            CertificateFactory factory = CertificateFactory.getInstance("X.509");
            for (Certificate ca : factory.generateCertificates(in)) {
                store.setCertificateEntry("ca-" + store.size(), ca);
            }
        }
        return store;
    }

    private static String get(SSLContext context, String url) {
        try {
            HttpsURLConnection connection = (HttpsURLConnection) new URL(url).openConnection();
            connection.setSSLSocketFactory(context.getSocketFactory());
            connection.setReadTimeout(20000);
            try (InputStream in = connection.getInputStream()) {
                return new String(in.readAllBytes(), StandardCharsets.UTF_8).strip();
            }
        } catch (Exception problem) {
            return "error " + problem;
        }
    }
}
