import java.io.*;
import java.nio.charset.StandardCharsets;
import java.util.Properties;

/** Reads a file of properties through a stream and through a reader, and prints each name with its bytes. */
public class Read {
    public static void main(String[] arguments) throws IOException {
        Properties bytes = new Properties();
        try (InputStream in = new FileInputStream(arguments[0])) {
            bytes.load(in);
        }
        Properties characters = new Properties();
        try (Reader in = new FileReader(arguments[0], StandardCharsets.UTF_8)) {
            characters.load(in);
        }
        if (!bytes.equals(characters)) {
            throw new IOException("a stream and a reader differ");
        }
        StringBuilder out = new StringBuilder();
        for (String name : bytes.stringPropertyNames()) {
            out.append(name).append(' ');
            for (byte one : bytes.getProperty(name).getBytes(StandardCharsets.UTF_8)) {
                out.append(String.format("%02x", one));
            }
            out.append('\n');
        }
        System.out.print(out);
    }
}
