//! The API's description, generated from the types and handlers.

use utoipa::openapi::schema::{Object, Schema, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{self, RefOr};
use utoipa::{Modify, OpenApi};

use super::error::Kind;
use super::{balance, balances, batch, health, history, holds, periods, reversals, transactions};
use crate::wire::http::ProblemBody;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Steelyard",
        description = "Moves money between balances, exactly once, in order per balance. Amounts are \
            decimal texts. Every change has a `reference` of the client's own: the same reference \
            with the same content is the same transaction, however often and on whatever road it \
            is sent. Errors are problems (RFC 9457); each says whether to try again.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(
        transactions::post, batch::post, transactions::get, holds::post, holds::void,
        reversals::reverse,
        balances::open, balances::configure, balance::get,
        history::entries, holds::list, history::balances,
        periods::close, periods::get,
        health::live, health::ready,
    ),
    components(schemas(ProblemBody)),
    modifiers(&Finish),
)]
struct Api;

struct Finish;

impl Modify for Finish {
    fn modify(&self, api: &mut openapi::OpenApi) {
        let Some(components) = &mut api.components else {
            return;
        };
        components.add_security_scheme(
            "key",
            SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)),
        );
        let header = ApiKey::Header(ApiKeyValue::new("X-API-Key"));
        components.add_security_scheme("key-header", SecurityScheme::ApiKey(header));
        if let Some(RefOr::T(Schema::Object(problem))) = components.schemas.get_mut("Problem") {
            name_slugs(problem);
        }
        let problem = openapi::Ref::from_schema_name("Problem");
        let content = openapi::ContentBuilder::new().schema(Some(problem)).build();
        let response = openapi::ResponseBuilder::new()
            .description("any other problem, by the slug of its `type`")
            .content("application/problem+json", content)
            .build();
        let secured = |name: &str| openapi::SecurityRequirement::new(name, Vec::<String>::new());
        for (path, item) in &mut api.paths.paths {
            let operations = [
                &mut item.get,
                &mut item.post,
                &mut item.put,
                &mut item.patch,
            ]
            .into_iter()
            .flatten();
            for operation in operations.filter(|_| path.starts_with("/v1/")) {
                let default = response.clone().into();
                operation
                    .responses
                    .responses
                    .insert("default".to_owned(), default);
                operation.security = Some(vec![secured("key"), secured("key-header")]);
            }
        }
    }
}

/// Lists every slug, with its status and whether to try again.
fn name_slugs(problem: &mut Object) {
    let mut lines = vec![
        "| type | status | retry |".to_owned(),
        "|---|---|---|".to_owned(),
    ];
    let mut slugs = Vec::new();
    for kind in Kind::all() {
        let path = format!("/problems/{}", kind.slug());
        lines.push(format!(
            "| `{path}` | {} | {} |",
            kind.status().as_u16(),
            kind.retry()
        ));
        if !slugs.contains(&path) {
            slugs.push(path);
        }
    }
    let table = lines.join("\n");
    let about = problem.description.take().unwrap_or_default();
    problem.description = Some(format!("{about}\n\n{table}"));
    let kind = openapi::ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(slugs))
        .build();
    problem.properties.insert("type".to_owned(), kind.into());
}

/// The whole description as JSON, one line feed at the end.
pub fn json() -> String {
    let mut text = Api::openapi().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_description_is_fresh() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
        let fresh = json();
        if std::env::var_os("STEELYARD_UPDATE_OPENAPI").is_some() {
            std::fs::write(path, &fresh).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == fresh,
            "openapi.json is stale: run this test with STEELYARD_UPDATE_OPENAPI=1"
        );
    }

    #[test]
    fn every_problem_is_described() {
        let text = json();
        for kind in Kind::all() {
            assert!(
                text.contains(&format!("\"/problems/{}\"", kind.slug())),
                "{}",
                kind.slug()
            );
        }
    }
}
