//! Kafka over TLS and with passwords, by nothing but librdkafka's properties passed through.

use crate::support::secure::{Broker, PASSWORD, USER};
use crate::support::tools::kafka_classpath;
use crate::support::{World, transfer};

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
    let properties = [
        property("security.protocol", "sasl_ssl"),
        property("ssl.ca.location", broker.authority()),
        property("sasl.mechanism", "PLAIN"),
        property("sasl.username", USER),
        property("sasl.password", PASSWORD),
    ];
    let world = World::on_kafka(2, broker.address(), properties.to_vec());
    pays(&world).await;
    let mut wrong = properties.to_vec();
    wrong[4].1 = "not,the=word".to_owned();
    let said = refused(&world, &wrong);
    assert!(!said.contains("not,the=word"), "{said}");
}
