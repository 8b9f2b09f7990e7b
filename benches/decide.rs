//! What the core costs: the memory of a balance and of a reference, and the time per record of a
//! local transfer: recognise, decide and fold, encode, and what a takeover does with each outcome.
//! `cargo bench --bench decide`.

use std::fs;
use std::hint::black_box;
use std::mem;
use std::sync::Arc;

use divan::Bencher;
use divan::counter::ItemsCount;
use steelyard::ledger::balance::{Balance, State, Status};
use steelyard::ledger::command::{Body, Command, Note, Party, Posting};
use steelyard::ledger::{
    Amount, Asset, BalanceId, Cut, Decision, Fingerprint, HoldSums, Outcome, Partition,
    PartitionId, Record, Seen, SeenKey, SeenMap, Setting, TransactionId, partition_of,
};
use steelyard::wire::outcome::{NO_HASH, OutcomeBody, hash};
use steelyard::wire::record::{Headers, Raw, Recognizer};
use steelyard::wire::{Decoder, Secret, fingerprint};
use uuid::Uuid;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    // The table of balances doubles: the first number fills it well, the second has just made it
    // grow.
    for count in [1_800_000, 1_900_000] {
        let balances = || partition(count);
        print_bytes("a resident balance", count, balances);
    }
    for count in [1_000_000, 5_000_000, 7_000_000, 7_500_000] {
        print_bytes("a remembered reference", count, || references(count));
    }
    divan::main();
}

/// Prints what the process takes more with `count` of something than without. It is kept: what is
/// built next takes memory of its own.
fn print_bytes<T>(what: &str, count: u64, build: impl FnOnce() -> T) {
    let before = resident_bytes();
    let built = build();
    let bytes = resident_bytes().saturating_sub(before);
    mem::forget(black_box(built));
    let each = bytes as f64 / count as f64;
    println!("{what} takes {each:.1} bytes, among {count}");
}

/// What the process has of memory, in pages that are there.
fn resident_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").expect("a Linux machine");
    let pages = statm.split(' ').nth(1).and_then(|text| text.parse().ok());
    let pages: u64 = pages.expect("the second number is the resident set's");
    pages * 4096
}

/// As many references as are decided in a week, one after the other.
fn references(count: u64) -> SeenMap {
    let mut seen = SeenMap::default();
    for number in 0..count {
        let (key, mark) = reference(number, count);
        seen.insert(key, mark);
    }
    seen
}

/// One of `count` a week.
fn reference(number: u64, count: u64) -> (SeenKey, Seen) {
    let key = fingerprint::seen_key(LEDGER, &format!("order-{number}"));
    let transaction = TransactionId::new(0, number, Uuid::nil());
    let at_ms = 1_795_000_000_000 + i64::try_from(number * 604_800_000 / count).unwrap_or(0);
    let fingerprint = Fingerprint(key.0);
    (
        key,
        Seen::new(fingerprint, transaction, at_ms, Decision::Applied),
    )
}

const LEDGER: &str = "acme/main";
const BALANCES: [u64; 2] = [1_000, 1_000_000];

fn dollars() -> Asset {
    Asset::parse("USD").expect("an ISO code")
}

fn balance_id(number: u64) -> BalanceId {
    // spread like the hashes they stand for
    BalanceId::new(Uuid::from_u64_pair(
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        number,
    ))
}

/// One partition of one, with `count` unlimited balances at zero.
fn partition(count: u64) -> Partition {
    partition_of_log(0, 1, (0..count).map(balance_id))
}

/// A partition of several, with unlimited balances at zero.
fn partition_of_log(
    id: PartitionId,
    partitions: u16,
    ids: impl Iterator<Item = BalanceId>,
) -> Partition {
    let none = vec![0; usize::from(partitions)];
    let cut = Cut {
        command_offset: 0,
        log_time_ms: 0,
        version_sum: 0,
        highest_offset: Some(0),
        posted: [(dollars(), 0)].into(),
        holds: HoldSums::default(),
        sent: none.clone(),
        received: none,
        closed: Default::default(),
        setting: Setting {
            generation: Uuid::from_u128(42),
            horizon_seconds: 604_800,
        },
        rules: Default::default(),
    };
    let ledger: Arc<str> = LEDGER.into();
    let balance = |number| Balance {
        state: State {
            version: 1,
            ..State::default()
        },
        floor: None,
        ceiling: None,
        status: Status::Open,
        asset: dollars(),
        offset: 0,
        ledger: ledger.clone(),
        name: Balance::name(&format!("account-{number}"), "default"),
    };
    let balances = ids.zip(0..).map(|(id, number)| (id, balance(number)));
    Partition::from_cut(id, &cut, balances, [], SeenMap::default())
}

/// Transfers between pseudo-random balances, each under a reference of its own.
struct Source {
    count: u64,
    next: u64,
    ledger: Arc<str>,
}

impl Source {
    fn new(count: u64) -> Self {
        let ledger = LEDGER.into();
        Self {
            count,
            next: 0,
            ledger,
        }
    }

    fn pair(&mut self) -> (BalanceId, BalanceId) {
        self.next += 1;
        let at = self.next.wrapping_mul(0x2545_f491_4f6c_dd1d) % self.count;
        (balance_id(at), balance_id((at + 1) % self.count))
    }

    fn record(&mut self) -> (u64, Record) {
        let pair = self.pair();
        self.transfer(pair)
    }

    fn transfer(&mut self, (source, destination): (BalanceId, BalanceId)) -> (u64, Record) {
        let party = |id| Party { id, striped: false };
        let posting = Posting {
            source: party(source),
            destination: party(destination),
            amount: Amount::new(1250).expect("positive"),
            asset: dollars(),
        };
        let reference = format!("order-{}", self.next);
        let (body, note) = (Body::Transfer(vec![posting]), Note::default());
        let command = Command {
            seen_key: fingerprint::seen_key(LEDGER, &reference),
            fingerprint: fingerprint::fingerprint(LEDGER, &body, &[], &note),
            reference: reference.into(),
            ledger: self.ledger.clone(),
            body,
            stripes: Vec::new(),
            expect: Vec::new(),
            note,
        };
        (self.next, Record::Command(Arc::new(command)))
    }

    fn json(&mut self) -> (u64, String, String) {
        let (source, destination) = self.pair();
        let json = format!(
            r#"{{"reference":"order-{}","type":"transfer","ledger":"{LEDGER}","postings":[
            {{"source":"{source}","destination":"{destination}","amount":"12.50","asset":"USD"}}]}}"#,
            self.next
        );
        (self.next, source.to_string(), json)
    }
}

fn recognizer() -> Recognizer {
    let secret = Secret::new("a secret of the benchmarks").expect("long enough");
    Recognizer::new(secret, Vec::new(), 0, 1)
}

fn recognized(recognizer: &mut Recognizer, offset: u64, key: &str, json: &str) -> Record {
    let raw = Raw {
        offset,
        key: Some(key.as_bytes()),
        value: Some(json.as_bytes()),
        headers: Headers::default(),
    };
    recognizer.recognize(&raw).expect("a good command")
}

fn encode(outcome: &Outcome, bytes: &mut Vec<u8>) {
    bytes.clear();
    let body = OutcomeBody::of(outcome, 0, NO_HASH);
    body.seal(bytes).expect("plain JSON");
}

#[divan::bench(args = BALANCES, sample_size = 1000, sample_count = 200)]
fn decide_and_fold(bencher: Bencher, balances: u64) {
    let mut source = Source::new(balances);
    let partition = std::sync::Mutex::new(partition(balances));
    bencher
        .counter(ItemsCount::new(1_u64))
        .with_inputs(|| source.record())
        .bench_local_values(|(offset, record)| {
            let mut partition = partition.lock().expect("one thread");
            let outcome = partition.apply(offset, 1_795_000_000_000, &record);
            (outcome, record)
        });
}

/// Both stops of a transfer from one partition to another: two records, and a leg between them.
#[divan::bench(sample_size = 1000, sample_count = 200)]
fn decide_and_fold_walk(bencher: Bencher) {
    let of = |id| move |balance: &BalanceId| partition_of(*balance, 2) == id;
    let all = || (0..2000).map(balance_id);
    let here: Vec<BalanceId> = all().filter(of(0)).collect();
    let there: Vec<BalanceId> = all().filter(of(1)).collect();
    let mut home = partition_of_log(0, 2, here.iter().copied());
    let mut last = partition_of_log(1, 2, there.iter().copied());
    let mut source = Source::new(1000);
    bencher
        .with_inputs(|| {
            let at = usize::try_from(source.next).expect("small");
            source.next += 1;
            source.transfer((here[at % here.len()], there[at % there.len()]))
        })
        .bench_local_values(|(offset, record)| {
            let mut sent = home.apply(offset, 1_795_000_000_000, &record);
            let leg = Record::Leg(sent.legs.pop().expect("it walks"));
            let decided = last.apply(offset, 1_795_000_000_000, &leg);
            (sent, decided, record)
        });
}

const REFERENCES: u64 = 5_000_000;

#[divan::bench(sample_size = 1000, sample_count = 1000)]
fn remember_reference(bencher: Bencher) {
    let mut numbers = REFERENCES..;
    let seen = std::sync::Mutex::new(references(REFERENCES));
    bencher
        .with_inputs(|| reference(numbers.next().expect("endless"), REFERENCES))
        .bench_local_values(|(key, mark)| seen.lock().expect("one thread").insert(key, mark));
}

/// One that is known, and one that is not.
#[divan::bench(args = [0, REFERENCES], sample_size = 1000, sample_count = 1000)]
fn find_reference(bencher: Bencher, from: u64) {
    let seen = references(REFERENCES);
    let mut number = 0_u64;
    bencher
        .with_inputs(|| {
            number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
            reference(from + number % REFERENCES, REFERENCES).0
        })
        .bench_local_values(|key| seen.find(key, 0, u64::MAX).is_some());
}

#[divan::bench(sample_size = 1000, sample_count = 200)]
fn recognize(bencher: Bencher) {
    let (mut source, mut recognizer) = (Source::new(1000), recognizer());
    bencher
        .with_inputs(|| source.json())
        .bench_local_refs(|(offset, key, json)| recognized(&mut recognizer, *offset, key, json));
}

#[divan::bench(sample_size = 1000, sample_count = 200)]
fn encode_outcome(bencher: Bencher) {
    let (mut source, mut partition) = (Source::new(1000), partition(1000));
    let (offset, record) = source.record();
    let outcome = partition.apply(offset, 1_795_000_000_000, &record);
    let mut bytes = Vec::new();
    bencher.bench_local(|| encode(black_box(&outcome), &mut bytes));
}

#[divan::bench(sample_size = 1000, sample_count = 200)]
fn hash_outcome(bencher: Bencher) {
    let (mut source, mut partition) = (Source::new(1000), partition(1000));
    let (offset, record) = source.record();
    let mut bytes = Vec::new();
    let outcome = partition.apply(offset, 1_795_000_000_000, &record);
    encode(&outcome, &mut bytes);
    bencher.bench_local(|| hash(black_box(&bytes)));
}

#[divan::bench(sample_size = 1000, sample_count = 200)]
fn recognize_decide_encode(bencher: Bencher) {
    let (mut source, mut recognizer) = (Source::new(1000), recognizer());
    let (mut partition, mut bytes) = (partition(1000), Vec::new());
    bencher
        .with_inputs(|| source.json())
        .bench_local_refs(|(offset, key, json)| {
            let record = recognized(&mut recognizer, *offset, key, json);
            let outcome = partition.apply(*offset, 1_795_000_000_000, &record);
            encode(&outcome, &mut bytes);
            bytes.len()
        });
}

/// What a takeover does with each outcome of the tail.
#[divan::bench(sample_size = 1000, sample_count = 200)]
fn read_outcome_and_fold(bencher: Bencher) {
    let mut source = Source::new(1000);
    let (mut owner, mut taker) = (partition(1000), partition(1000));
    let mut decoder = Decoder::new();
    bencher
        .with_inputs(|| {
            let (offset, record) = source.record();
            let outcome = owner.apply(offset, 1_795_000_000_000, &record);
            let mut bytes = Vec::new();
            encode(&outcome, &mut bytes);
            bytes
        })
        .bench_local_refs(|bytes| {
            let body = OutcomeBody::parse(bytes).expect("as it was written");
            let outcome = body.to_ledger(&mut decoder).expect("as it was written");
            taker.fold(&outcome);
        });
}
