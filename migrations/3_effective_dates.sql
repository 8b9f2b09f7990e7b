-- Entries that say when they take effect, by that date; all others take effect at `at`. Built while
-- the journal sink waits, which catches up: every month is read once.
create index entries_by_effective_at on entries (balance_id, effective_at)
    where effective_at is not null;
