import java.io.File;
import java.io.IOException;
import java.net.InetAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLServerSocket;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;

/** A server that is what Tomcat is below: a key store, a trust store, one password in a file; clients show certificates. */
public class Serve {
    public static void main(String[] arguments) throws Exception {
        char[] password = Files.readString(Path.of(arguments[2])).strip().toCharArray();
        KeyManagerFactory keys = KeyManagerFactory.getInstance("PKIX");
        keys.init(KeyStore.getInstance(new File(arguments[0]), password), password);
        TrustManagerFactory roots = TrustManagerFactory.getInstance("PKIX");
        roots.init(KeyStore.getInstance(new File(arguments[1]), password));
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), roots.getTrustManagers(), null);
        InetAddress here = InetAddress.getLoopbackAddress();
        SSLServerSocket door =
            (SSLServerSocket) context.getServerSocketFactory().createServerSocket(0, 8, here);
        door.setNeedClientAuth(true);
        System.out.println(door.getLocalPort());
        while (true) {
            try (SSLSocket client = (SSLSocket) door.accept()) {
                client.getOutputStream().write("hello of Java\n".getBytes());
            } catch (IOException refused) {
                System.err.println(refused);
            }
        }
    }
}
