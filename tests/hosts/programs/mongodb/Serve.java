import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import java.util.List;

/** A server of MongoDB's protocol that keeps everything in memory: java Serve.java PORT */
public class Serve {
    /** It says of itself that it is as old as 4.0, to which newer drivers do not speak. */
    static class Newer implements MongoVersion {
        public List<Integer> getVersionArray() { return List.of(4, 4, 0, 0); }
        public int getWireVersion() { return 9; }
    }

    public static void main(String[] args) throws Exception {
        MemoryBackend backend = new MemoryBackend();

        backend.version(new Newer());
        new MongoServer(backend).bind("127.0.0.1", Integer.parseInt(args[0]));
        System.out.println("ready");
        Thread.currentThread().join();
    }
}
