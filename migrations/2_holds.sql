-- The latest accepted snapshot of every hold, by the partitions it touches: at its home with all
-- of its postings and what may still be posted, elsewhere with what is reserved there. Changed only
-- in the transaction that accepts a marker, like balances (S1).
create table holds (
    id             uuid not null,
    partition      integer not null,
    ledger         text collate "C" not null,
    reference      text collate "C" not null,
    state          text not null,
    -- at home only; null is never
    expires_at     timestamptz,
    -- posting (its place in the transaction), source, destination, asset, amount, rest, posted
    postings       jsonb not null,
    version        bigint not null,
    command_offset bigint not null,
    at             timestamptz not null,
    epoch          bigint not null,
    primary key (id, partition)
);
create index holds_open on holds (partition) where state in ('pending', 'open');
create index holds_ended on holds (partition, at);
create index holds_by_balance on holds using gin (postings jsonb_path_ops)
    where state in ('pending', 'open');
