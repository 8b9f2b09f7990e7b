-- Which transaction a reversal moves back, at all of its stops.
alter table transactions add column reverses uuid;
create index transactions_by_original on transactions (reverses) where reverses is not null;
-- How many reversals have set out, at home: a marker sums such a hold up even if it is not open.
alter table holds add column reversals bigint not null default 0;
create index holds_reversed on holds (partition) where reversals > 0;
