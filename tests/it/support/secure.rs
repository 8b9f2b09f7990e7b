//! A broker of a test's own that talks to clients over TLS only, with certificates made for it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::net::TcpStream;

use super::node::{ended, free_port};
use super::until_within;

/// Everybody whom the broker knows; the password is the same for all.
pub const USERS: [&str; 6] = [
    "steelyard",
    "ingress",
    "processor",
    "sink",
    "producer",
    "mallory",
];
/// With everything that a list of properties could stumble over.
pub const PASSWORD: &str = "one,two=three four";

/// The mechanisms that never send a password, and one that `steelyard` has there.
pub const SALTED: [&str; 2] = ["SCRAM-SHA-256", "SCRAM-SHA-512"];
pub const SALTED_PASSWORD: &str = "three four five";

/// How long a broker on a busy machine may take to start.
const START_MAX: Duration = Duration::from_secs(180);

pub struct Broker {
    folder: PathBuf,
    port: u16,
    /// For those within, who may do everything and need no password.
    internal: u16,
    child: Child,
}

impl Broker {
    /// A broker whose clients use `protocol`, `SSL` or `SASL_SSL`, and may do everything.
    pub async fn start(classpath: &str, protocol: &str) -> Self {
        Self::launch(classpath, protocol, "").await
    }

    /// A broker on which clients may do what they are granted, and `steelyard` everything.
    pub async fn guarded(classpath: &str) -> Self {
        let guard = "authorizer.class.name=\
            org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
            super.users=User:ANONYMOUS;User:steelyard\n";
        Self::launch(classpath, "SASL_SSL", guard).await
    }

    async fn launch(classpath: &str, protocol: &str, more: &str) -> Self {
        let (port, internal, controller) = (free_port(), free_port(), free_port());
        let folder = std::env::temp_dir().join(format!("steelyard-it-kafka-{port}"));
        std::fs::create_dir_all(&folder).expect("a folder");
        certificates(&folder);
        let settings = folder.join("server.properties");
        let text = properties(&folder, protocol, [port, internal, controller]);
        std::fs::write(&settings, text + more).expect("the settings");
        let settings = settings.to_str().expect("a plain path");
        let cluster = uuid::Uuid::new_v4().simple().to_string();
        let mut format = java(classpath);
        format.args(["kafka.tools.StorageTool", "format", "-c", settings]);
        format.args(["-t", &cluster[..22]]);
        for mechanism in SALTED {
            let user = format!("{mechanism}=[name=steelyard,password={SALTED_PASSWORD}]");
            format.args(["--add-scram", &user]);
        }
        done(&mut format);
        let log = std::fs::File::create(folder.join("said")).expect("a log file");
        let mut server = java(classpath);
        server.args(["kafka.Kafka", settings]);
        server
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log);
        let child = server.stdin(Stdio::null()).spawn().expect("java runs");
        let broker = Self {
            folder,
            port,
            internal,
            child,
        };
        until_within(START_MAX, "the broker to listen", async || {
            let ended = ended(broker.child.id());
            assert!(ended.is_none(), "it has ended: {}", broker.said());
            TcpStream::connect(broker.address()).await.ok()
        })
        .await;
        broker
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The certificate that its own is signed with.
    pub fn authority(&self) -> String {
        let path = self.folder.join("ca.pem");
        path.to_str().expect("a plain path").to_owned()
    }

    /// Grants what `lines` say, arguments of `kafka-acls --add` each.
    pub fn grant(&self, classpath: &str, lines: &str) {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/clients/Acls.java");
        let mut acls = java(classpath);
        acls.args([source, &format!("127.0.0.1:{}", self.internal)]);
        acls.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = acls.spawn().expect("java runs");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(lines.as_bytes()).expect("it reads");
        drop(stdin);
        assert!(child.wait().expect("it ends").success(), "{lines}");
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.folder.join("said")).unwrap_or_default()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

fn java(classpath: &str) -> Command {
    let mut command = Command::new("java");
    command.args(["-Xmx320m", "-XX:TieredStopAtLevel=1", "-cp", classpath]);
    command
}

fn done(command: &mut Command) {
    let output = command.output().expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{command:?}: {said}");
}

/// An authority of the test's own, and a certificate by it for this machine's loopback address.
fn certificates(folder: &Path) {
    let openssl = |line: &str| {
        let mut command = Command::new("openssl");
        done(command.args(line.split_whitespace()).current_dir(folder));
    };
    let own = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority";
    openssl(&format!("{own} -keyout ca.key -out ca.pem"));
    openssl("req -newkey rsa:2048 -nodes -subj /CN=broker -keyout key.pem -out request.pem");
    std::fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1").expect("a file");
    let signed = "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2";
    openssl(&format!("{signed} -extfile names -out certificate.pem"));
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect(name);
    let store = read("key.pem") + &read("certificate.pem");
    std::fs::write(folder.join("store.pem"), store).expect("a file");
}

fn properties(folder: &Path, protocol: &str, ports: [u16; 3]) -> String {
    let ([port, internal, controller], folder) = (ports, folder.display());
    let users = USERS.map(|user| format!(" user_{user}=\"{PASSWORD}\""));
    let users = users.concat();
    let salted = SALTED.map(|mechanism| {
        let mechanism = mechanism.to_lowercase();
        format!(
            "listener.name.clients.{mechanism}.sasl.jaas.config=\
             org.apache.kafka.common.security.scram.ScramLoginModule required;\n"
        )
    });
    let salted = salted.concat();
    let shared = include_str!("../../../dev.d/kafka/server.properties");
    format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         controller.listener.names=CONTROLLER\n\
         inter.broker.listener.name=INTERNAL\n\
         listeners=CLIENTS://127.0.0.1:{port},INTERNAL://127.0.0.1:{internal},\
         CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=CLIENTS://127.0.0.1:{port},INTERNAL://127.0.0.1:{internal}\n\
         listener.security.protocol.map=CLIENTS:{protocol},INTERNAL:PLAINTEXT,\
         CONTROLLER:PLAINTEXT\n\
         listener.name.clients.ssl.keystore.type=PEM\n\
         listener.name.clients.ssl.keystore.location={folder}/store.pem\n\
         listener.name.clients.sasl.enabled.mechanisms=PLAIN,{}\n\
         {salted}\
         listener.name.clients.plain.sasl.jaas.config=\
         org.apache.kafka.common.security.plain.PlainLoginModule required{users};\n\
         log.dirs={folder}/data\n\
         {shared}\n",
        SALTED.join(",")
    )
}
