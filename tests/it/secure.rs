//! Kafka over TLS and with passwords, by nothing but librdkafka's properties passed through.

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{FutureProducer, FutureRecord};

use crate::support::node::Node;
use crate::support::secure::{Broker, PASSWORD, SALTED, SALTED_PASSWORD};
use crate::support::tools::kafka_classpath;
use crate::support::{PATIENCE, World, transfer};

fn property(name: &str, value: impl Into<String>) -> (String, String) {
    (name.to_owned(), value.into())
}

/// What `topics check` says with other properties; it must refuse.
fn refused(world: &World, properties: &[(String, String)]) -> String {
    let mut command = world.command();
    command.env_remove("STEELYARD_KAFKA_PROPERTIES");
    command.args(["topics", "check"]);
    for (name, value) in properties {
        command.args(["--kafka-property", &format!("{name}={value}")]);
    }
    let output = command.output().expect("the binary runs");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    said
}

/// What a client of the broker needs to be `user`.
fn signed_in(broker: &Broker, user: &str) -> Vec<(String, String)> {
    vec![
        property("security.protocol", "sasl_ssl"),
        property("ssl.ca.location", broker.authority()),
        property("sasl.mechanism", "PLAIN"),
        property("sasl.username", user),
        property("sasl.password", PASSWORD),
    ]
}

/// Money moves, and the books are proved.
async fn pays(world: &World) {
    let node = world.start("all").await;
    node.open("alice").await;
    node.applied(&transfer("fund", "@world", "alice", "5"))
        .await;
    world.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn money_moves_over_tls() {
    let Some(classpath) = kafka_classpath() else {
        return;
    };
    let broker = Broker::start(&classpath, "SSL").await;
    let properties = [
        property("security.protocol", "ssl"),
        property("ssl.ca.location", broker.authority()),
        // OpenSSL takes a list with commas, and so does the option.
        property(
            "ssl.cipher.suites",
            "ECDHE-RSA-AES256-GCM-SHA384,ECDHE-RSA-AES128-GCM-SHA256",
        ),
    ];
    let world = World::on_kafka(2, broker.address(), properties.to_vec());
    pays(&world).await;
    let stranger = refused(&world, &properties[..1]);
    assert!(stranger.contains("kafka"), "{stranger}");
}

#[tokio::test(flavor = "multi_thread")]
async fn money_moves_with_a_password() {
    let Some(classpath) = kafka_classpath() else {
        return;
    };
    let broker = Broker::start(&classpath, "SASL_SSL").await;
    let plain = ("PLAIN", PASSWORD);
    let salted = SALTED.map(|mechanism| (mechanism, SALTED_PASSWORD));
    for (mechanism, password) in [plain].into_iter().chain(salted) {
        let mut properties = signed_in(&broker, "steelyard");
        properties[2].1 = mechanism.to_owned();
        properties[4].1 = password.to_owned();
        let world = World::on_kafka(2, broker.address(), properties.clone());
        pays(&world).await;
        let mut wrong = properties;
        wrong[4].1 = "not,the=word".to_owned();
        let said = refused(&world, &wrong);
        assert!(!said.contains("not,the=word"), "{mechanism}: {said}");
    }
}

/// A node that runs `role`, and is known to the broker by that name.
async fn started(world: &World, broker: &Broker, role: &str) -> Node {
    let lines = signed_in(broker, role).into_iter();
    let lines = lines.map(|(name, value)| format!("{name}={value}\n"));
    let properties: String = lines.collect();
    let node = world.launch(role, &[("STEELYARD_KAFKA_PROPERTIES", &properties)]);
    node.ready().await;
    node
}

/// What became of a record that `user` appends to one of our topics.
async fn append(world: &World, broker: &Broker, user: &str, topic: &str) -> KafkaResult<()> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.address());
    for (name, value) in signed_in(broker, user) {
        config.set(name, value);
    }
    let producer: FutureProducer = config.create()?;
    let topic = world.topic(topic);
    let record = FutureRecord::to(&topic).key("marker:0").payload("{}");
    let record = record.partition(0);
    let sent = producer.send(record, PATIENCE).await;
    sent.map(drop).map_err(|(error, _)| error)
}

/// Snapshots, outcomes and replies are a processor's to write, and nobody else's.
#[tokio::test(flavor = "multi_thread")]
async fn a_principal_does_what_its_role_may_and_nothing_else() {
    let Some(classpath) = kafka_classpath() else {
        return;
    };
    let broker = Broker::guarded(&classpath).await;
    let world = World::on_kafka(2, broker.address(), signed_in(&broker, "steelyard"));
    broker.grant(&classpath, &world.run(&["topics", "acls"]));
    let _processor = started(&world, &broker, "processor").await;
    let _sink = started(&world, &broker, "sink").await;
    let ingress = started(&world, &broker, "ingress").await;
    ingress.open("alice").await;
    ingress
        .applied(&transfer("fund", "@world", "alice", "5"))
        .await;

    let table = [
        ("mallory", "commands", false),
        ("mallory", "snapshots", false),
        ("producer", "snapshots", false),
        ("producer", "outcomes", false),
        ("producer", "replies", false),
        ("ingress", "snapshots", false),
        ("ingress", "outcomes", false),
        ("sink", "snapshots", false),
        ("sink", "commands", false),
        ("producer", "commands", true),
    ];
    for (user, topic, may) in table {
        let before = world.end(topic, 0);
        let result = append(&world, &broker, user, topic).await;
        let code = result.err().and_then(|error| error.rdkafka_error_code());
        let refused = Some(RDKafkaErrorCode::TopicAuthorizationFailed);
        assert_eq!(code, refused.filter(|_| !may), "{user} on {topic}");
        let written = world.end(topic, 0) > before;
        assert!(may || topic != "snapshots" || !written, "{user} on {topic}");
    }
    world.audit();
}
