-- The cold projection. Amounts are exact decimals in units of their asset ("12.50").
-- `ledger` is always `organization/ledger`.

-- The latest accepted snapshot of every balance: an exact cut of its partition as of the
-- watermark in sink_positions (S1). Changed only in the transaction that accepts a marker.
create table balances (
    id             uuid primary key,
    ledger         text not null,
    account        text not null,
    key            text not null,
    asset          text not null,
    posted         numeric not null,
    held           numeric not null,
    incoming       numeric not null,
    floor          numeric,
    ceiling        numeric,
    status         text not null,
    version        bigint not null,
    partition      integer not null,
    command_offset bigint not null,
    epoch          bigint not null
) with (fillfactor = 70);
create index balances_by_account on balances (ledger, account, asset, key);
create index balances_by_partition on balances (partition);

-- One row for every decided outcome that carries a reference: a walked transaction has one at
-- each of its stops. Repeats and ignored records have none. Append-only, by month of log time.
create table transactions (
    transaction_id uuid not null,
    partition      integer not null,
    command_offset bigint not null,
    at             timestamptz not null,
    ledger         text not null,
    reference      text not null,
    type           text not null,
    status         text not null,
    reason         text,
    fingerprint    bytea not null,
    effective_at   timestamptz,
    description    text,
    metadata       jsonb,
    -- the balance a rejection speaks of, and its version then
    refused_balance uuid,
    refused_version bigint
) partition by range (at);
create index transactions_by_id on transactions (transaction_id);
create index transactions_by_offset on transactions (partition, command_offset);

-- Every change of every balance. Append-only, by month of log time.
create table entries (
    balance_id     uuid not null,
    version        bigint not null,
    transaction_id uuid,
    partition      integer not null,
    command_offset bigint not null,
    at             timestamptz not null,
    effective_at   timestamptz,
    direction      text not null,
    amount         numeric not null,
    asset          text not null,
    posted         numeric not null,
    held           numeric not null,
    incoming       numeric not null
) partition by range (at);
create index entries_by_balance on entries (balance_id, version);

-- S4: a reference is unique in its ledger. Written by home outcomes only.
create table transaction_references (
    ledger         text not null,
    reference      text not null,
    transaction_id uuid not null,
    at             timestamptz not null,
    primary key (ledger, reference)
);

-- References that were used for two transactions, on two source balances in two partitions.
create table reference_conflicts (
    ledger         text not null,
    reference      text not null,
    kept           uuid not null,
    other          uuid not null,
    at             timestamptz not null,
    primary key (ledger, reference, other)
);

-- How far each sink is, per partition, moved in the same transaction as its rows (S3).
create table sink_positions (
    sink           text not null check (sink in ('journal', 'balances')),
    partition      integer not null,
    -- the next offset to read of the sink's own topic (outcomes, snapshots)
    position       bigint not null,
    -- journal: the last command whose outcome is in; balances: the watermark X
    command_offset bigint,
    -- log time of that command
    at             timestamptz,
    -- balances: the accepted marker, whole; a takeover starts from it
    marker         text,
    -- journal: the hash of the last outcome
    last_hash      bytea,
    generation     uuid not null,
    updated_at     timestamptz not null default now(),
    primary key (sink, partition)
);
