//! Postgres: the cold projection. May be down for hours; running owners go on without it.
//!
//! | file | what |
//! |---|---|
//! | [`read`], [`transaction`], [`periods`], [`homes`] | queries for the API |
//! | [`base`] | the one consistent read that a takeover starts from |
//! | [`write`] | positions: a fence, and moved with the rows (S3) |
//! | [`journal`], `part`, `references` | outcomes as transactions and entries; S4 |
//! | [`balances`], [`holds`] | balances and holds as a marker is accepted (S1) |
//! | `copy`, `fields` | rows in Postgres's binary format, written and read |
//! | [`rebuild`] | a partition written anew, while sinks go on |
//! | [`audit`] | what an audit compares with the log |
//!
//! SQL lives only here and in `migrations/`.

pub mod audit;
pub mod balances;
pub mod base;
mod copy;
mod fields;
pub mod holds;
pub mod homes;
pub mod journal;
mod part;
pub mod periods;
pub mod read;
pub mod rebuild;
mod references;
pub mod transaction;
pub mod write;

use std::str::FromStr;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

static MIGRATIONS: Migrator = sqlx::migrate!();

/// How to reach cold.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    /// Postgres URL; `sslmode` and certificates as parameters of it.
    #[arg(
        long,
        env = "STEELYARD_DATABASE_URL",
        default_value = "postgres://127.0.0.1:5432/steelyard",
        hide_env_values = true
    )]
    pub database_url: String,
    /// Schema of every table; made by `migrate` if it is not there.
    #[arg(long, env = "STEELYARD_DATABASE_SCHEMA", default_value = "public", value_parser = schema)]
    pub database_schema: String,
    /// Most connections of one process.
    #[arg(long, env = "STEELYARD_DATABASE_CONNECTIONS", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub database_connections: u32,
}

/// A schema's name needs no quoting: it stands in `search_path` and in `create schema`.
fn schema(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let first = text
        .bytes()
        .next()
        .is_some_and(|byte| !byte.is_ascii_digit());
    match first && text.len() <= 63 && text.bytes().all(fits) {
        true => Ok(text.to_owned()),
        false => Err("must be 1 to 63 of a-z 0-9 _, no digit first".to_owned()),
    }
}

impl Options {
    /// A pool that connects when first used: Postgres need not be there yet.
    ///
    /// # Errors
    /// If the URL cannot be read.
    pub fn connect(&self) -> Result<PgPool, sqlx::Error> {
        let options = PgConnectOptions::from_str(&self.database_url)?
            .application_name("steelyard")
            .options([("search_path", self.database_schema.as_str())]);
        let pool = PgPoolOptions::new()
            .max_connections(self.database_connections)
            .acquire_timeout(Duration::from_secs(5));
        Ok(pool.connect_lazy_with(options))
    }

    /// Brings the schema up to date, one process at a time.
    ///
    /// # Errors
    /// If Postgres cannot be reached, or has a migration that this binary does not know.
    pub async fn migrate(&self, pool: &PgPool) -> Result<(), MigrateError> {
        let mut migrator = Migrator {
            migrations: MIGRATIONS.migrations.clone(),
            ..Migrator::DEFAULT
        };
        migrator.create_schema(self.database_schema.clone());
        migrator.run(pool).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_a_plain_name() {
        for name in ["public", "_x", "t_12ab"] {
            assert_eq!(schema(name).as_deref(), Ok(name));
        }
        for name in ["", "1a", "a-b", "A", "a;drop", &"a".repeat(64)] {
            assert!(schema(name).is_err(), "{name}");
        }
    }
}
