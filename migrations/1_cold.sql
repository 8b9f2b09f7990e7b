-- The cold projection. Amounts are exact decimals in units of their asset ("12.50").
-- `ledger` is always `organization/ledger`. Names compare by their bytes.

-- The latest accepted snapshot of every balance: an exact cut of its partition as of the
-- watermark in sink_positions (S1). Changed only in the transaction that accepts a marker.
create table balances (
    id             uuid primary key,
    ledger         text collate "C" not null,
    account        text collate "C" not null,
    key            text collate "C" not null,
    asset          text collate "C" not null,
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
    transaction_id  uuid not null,
    partition       integer not null,
    command_offset  bigint not null,
    at              timestamptz not null,
    ledger          text collate "C" not null,
    reference       text collate "C" not null,
    type            text not null,
    status          text not null,
    reason          text,
    fingerprint     bytea not null,
    effective_at    timestamptz,
    description     text,
    metadata        jsonb,
    -- the balance a rejection speaks of, and its version then
    refused_balance uuid,
    refused_version bigint,
    -- a second row for one outcome is refused, whatever else went wrong (S3)
    primary key (partition, command_offset, at)
) partition by range (at);
create index transactions_by_id on transactions (transaction_id);

-- Every change of every balance. Append-only, by month of log time. Within a balance, `at` never
-- goes back, so (at, version) is the order of versions, and a page reads few months.
create table entries (
    balance_id     uuid not null,
    version        bigint not null,
    transaction_id uuid not null,
    partition      integer not null,
    command_offset bigint not null,
    at             timestamptz not null,
    effective_at   timestamptz,
    direction      text not null,
    amount         numeric not null,
    asset          text collate "C" not null,
    posted         numeric not null,
    held           numeric not null,
    incoming       numeric not null,
    primary key (balance_id, at, version)
) partition by range (at);
create index entries_by_command on entries (partition, command_offset);

-- Makes the partitions of one month, if they are not there. Attaching locks out no reader.
create function ensure_month(day timestamptz) returns void language plpgsql as $$
declare
    month timestamp := date_trunc('month', day at time zone 'UTC');
    parent text;
    child text;
begin
    perform pg_advisory_xact_lock(hashtextextended(current_schema() || '.ensure_month', 0));
    foreach parent in array array['transactions', 'entries'] loop
        child := parent || to_char(month, '_YYYY_MM');
        continue when to_regclass(quote_ident(child)) is not null;
        execute format('create table %I (like %I including all)', child, parent);
        execute format(
            'alter table %I attach partition %I for values from (%L) to (%L)', parent, child,
            month at time zone 'UTC', (month + interval '1 month') at time zone 'UTC'
        );
    end loop;
end
$$;

-- S4: a reference is unique in its ledger. Written by home outcomes only.
create table transaction_references (
    ledger         text collate "C" not null,
    reference      text collate "C" not null,
    transaction_id uuid not null,
    at             timestamptz not null,
    primary key (ledger, reference)
);

-- References that were used for two transactions, on two source balances in two partitions.
create table reference_conflicts (
    ledger         text collate "C" not null,
    reference      text collate "C" not null,
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
