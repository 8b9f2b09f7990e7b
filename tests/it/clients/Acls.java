import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;

/** Does what kafka-acls --add would with each line of its input, in one process. */
class Acls {
    public static void main(String[] args) throws Exception {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", args[0]);
        List<AclBinding> bindings = new ArrayList<>();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            bindings.addAll(bindings(line.split(" ")));
        }
        try (Admin admin = Admin.create(properties)) {
            admin.createAcls(bindings).all().get();
        }
        System.out.println(bindings.size());
    }

    private static List<AclBinding> bindings(String[] words) {
        String principal = null;
        AclOperation operation = null;
        PatternType type = PatternType.LITERAL;
        List<ResourcePattern> resources = new ArrayList<>();
        for (int i = 0; i + 1 < words.length; i += 2) {
            String value = words[i + 1];
            switch (words[i]) {
                case "--allow-principal" -> principal = value;
                case "--operation" -> operation = operation(value);
                case "--topic" -> resources.add(new ResourcePattern(ResourceType.TOPIC, value, type));
                case "--group" -> resources.add(new ResourcePattern(ResourceType.GROUP, value, type));
                case "--resource-pattern-type" -> type = PatternType.fromString(value.toUpperCase());
                default -> throw new IllegalArgumentException(words[i]);
            }
        }
        List<AclBinding> bindings = new ArrayList<>();
        for (ResourcePattern found : resources) {
            ResourcePattern resource = new ResourcePattern(found.resourceType(), found.name(), type);
            bindings.add(new AclBinding(resource,
                new AccessControlEntry(principal, "*", operation, AclPermissionType.ALLOW)));
        }
        return bindings;
    }

    private static AclOperation operation(String name) {
        return AclOperation.fromString(name.replaceAll("([a-z])([A-Z])", "$1_$2").toUpperCase());
    }
}
