//! Dry runs of what depends on more than balances: each is tried, and then done. What was said is
//! what happens, and saying it has changed nothing.

mod holds;
mod others;
mod rights;

use serde_json::{Value, json};

use super::api::{Answer, Api};
use crate::support::node::Node;
use crate::support::{World, account_in, balance_id, until};

/// A world, its ingress, processor and sink.
struct Stage {
    world: World,
    api: Api,
    processor: Node,
    sink: Option<Node>,
}

impl Stage {
    async fn new(partitions: u16) -> Self {
        let mut stage = Self::without_sink(partitions).await;
        stage.sink = Some(stage.world.start("sink").await);
        stage
    }

    /// Every partition has an owner: of one that nobody has taken yet nothing can be told.
    async fn without_sink(partitions: u16) -> Self {
        let world = World::new(partitions);
        let processor = world.start("processor").await;
        let api = Api::start(&world, &[]).await;
        for partition in 0..partitions {
            let nobody = balance_id(&account_in("nobody", partition, partitions));
            let path = format!("/v1/balances/{nobody}");
            until(&format!("an owner of {partition}"), async || {
                (api.get(&path).await.status == 404).then_some(())
            })
            .await;
        }
        Self {
            world,
            api,
            processor,
            sink: None,
        }
    }

    /// Ends of the log, and what hot has of `accounts`.
    async fn stands(&self, accounts: &[&str]) -> (Vec<i64>, Vec<Option<String>>) {
        let partitions = 0..i32::from(self.world.partitions);
        let ends = partitions.flat_map(|partition| {
            let end = |topic| self.world.end(topic, partition);
            [end("commands"), end("outcomes")]
        });
        let bytes = match accounts.is_empty() {
            true => Vec::new(),
            false => self.world.hot_bytes(accounts).await,
        };
        (ends.collect(), bytes)
    }

    /// Everything that was commanded is in cold: a dry run gives that a moment only.
    async fn rests(&self) {
        let pool = self.world.postgres().await;
        for partition in 0..self.world.partitions {
            let last = self.world.end("commands", partition.into()) - 1;
            until(&format!("cold at {last} of {partition}"), async || {
                let there: i64 = sqlx::query_scalar(
                    "select count(*) from sink_positions \
                     where partition = $1 and command_offset >= $2",
                )
                .bind(i32::from(partition))
                .bind(last)
                .fetch_one(&pool)
                .await
                .ok()?;
                (there == 2).then_some(())
            })
            .await;
        }
    }

    async fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        let request = self.api.request(method.parse().unwrap(), path);
        self.api.send(request.json(body)).await
    }

    /// Tries a request that names a reference, then makes it; what it was said to come to, which
    /// is what it comes to: `posted` and the like, or a slug.
    async fn same(&self, method: &str, path: &str, body: Value, accounts: &[&str]) -> String {
        self.rests().await;
        let stood = self.stands(accounts).await;
        let tried = self
            .send(method, &format!("{path}?dry_run=true"), &body)
            .await;
        assert_eq!(
            self.stands(accounts).await,
            stood,
            "{path}: nothing is done"
        );
        if tried.status != 200 {
            let slug = tried.slug();
            let done = self.send(method, path, &body).await;
            assert_eq!((done.status, done.slug()), (tried.status, slug.clone()));
            return slug;
        }
        let view = tried.json();
        let said = result(&view, 0);
        let done = self.send(method, path, &body).await;
        assert!(!done.replayed(), "the reference was free: {done:?}");
        let happened = match done.status {
            200 | 201 => done.json()["status"].as_str().unwrap().to_owned(),
            _ => done.slug(),
        };
        assert_eq!(said, happened, "{path} {body}: {view}");
        let status = &view["results"][0]["status"];
        let refused = done.status == 422;
        assert_eq!(*status == 422, refused, "{view}");
        self.balances_are(&view).await;
        said
    }

    /// The balances of the answer are those that there are in the end.
    async fn balances_are(&self, view: &Value) {
        for balance in view["balances"].as_array().unwrap() {
            let path = format!("/v1/balances/{}", balance["id"].as_str().unwrap());
            let fields = [
                "account", "posted", "held", "incoming", "version", "floor", "ceiling", "status",
            ];
            let of = |view: &Value| fields.map(|field| view[field].clone());
            until(&format!("{balance}"), async || {
                let now = self.api.get(&path).await.json();
                (of(&now) == of(balance)).then_some(())
            })
            .await;
        }
    }

    async fn has(&self, account: &str, posted: &str, held: &str, incoming: &str) {
        let path = format!("/v1/balances/{}", balance_id(account));
        until(&format!("{account} at {posted}"), async || {
            let view = self.api.get(&path).await.json();
            let now = [&view["posted"], &view["held"], &view["incoming"]];
            (now == [posted, held, incoming]).then_some(())
        })
        .await;
    }

    async fn hold(&self, reference: &str, moves: &[(&str, &str, &str)], terms: Value) -> Value {
        let posting = |(source, destination, amount): &(&str, &str, &str)| {
            json!({"source": source, "destination": destination, "amount": amount,
                "asset": "USD"})
        };
        let postings: Vec<Value> = moves.iter().map(posting).collect();
        let body = json!({"reference": reference, "postings": postings, "hold": terms});
        let made = self.api.post("/v1/transactions", &body).await;
        assert_eq!(made.status, 201, "{made:?}");
        made.json()
    }
}

/// The status of what would be done, or the slug of why it would not.
fn result(view: &Value, at: usize) -> String {
    let result = &view["results"][at];
    match result["transaction"]["status"].as_str() {
        Some(status) => status.to_owned(),
        None => {
            let slug = result["problem"]["type"].as_str();
            slug.unwrap().replace("/problems/", "")
        }
    }
}
