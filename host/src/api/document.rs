//! The document of the API: what the handlers do not say themselves.
//!
//! Deliberately not here: paths and shapes, which are generated from the handlers.

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    Components, ComponentsBuilder, ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Ref, RefOr,
    ResponseBuilder, SecurityRequirement,
};
use utoipa::{PartialSchema as _, ToSchema as _};

use super::error;
use crate::auth::{Access, access};

const ABOUT: &str = "A runbook engine an on-call engineer can trust with the Docker socket. Lists answer \
    `{\"<plural>\": […], \"next_cursor\": …}`; a cursor is passed back as `cursor`. Times are RFC 3339 in UTC. Every error \
    has a code, and `sandbook explain CODE` its page.";
const TOKEN: &str = "token";
const PASSWORD: &str = "password";

/// How a request fails, by status; `default` is everything else.
const FAILURES: [(&str, &str); 10] = [
    ("400", "the body cannot be read as what it says it is"),
    ("401", "no valid token"),
    ("403", "the token's role is not enough"),
    ("404", "there is no such thing"),
    ("413", "the body is too large"),
    ("415", "the content type is not supported"),
    ("422", "the body is read, and makes no sense"),
    ("429", "asked too often; see `Retry-After`"),
    ("503", "it cannot be made durable now, or too much is asked at once"),
    ("default", "refused or failed"),
];

/// What stands before the paths are collected.
pub(super) fn base() -> OpenApi {
    let license = LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build();
    let info = InfoBuilder::new()
        .title("Sandbook")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(license))
        .build();
    OpenApiBuilder::new().info(info).components(Some(components())).build()
}

fn components() -> Components {
    let scheme =
        |scheme, about| SecurityScheme::Http(HttpBuilder::new().scheme(scheme).description(Some(about)).build());
    let mut nested = Vec::new();
    error::Body::schemas(&mut nested);
    let failed = |why| {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Error"))).build();
        ResponseBuilder::new().description(why).content("application/json", content).build()
    };
    let failures = FAILURES.map(|(status, why)| (status, failed(why)));
    ComponentsBuilder::new()
        .responses_from_iter(failures)
        .schema("Error", error::Body::schema())
        .schemas_from_iter(nested)
        .security_scheme(TOKEN, scheme(HttpAuthScheme::Bearer, "a token of the configuration, or a generated one"))
        .security_scheme(
            PASSWORD,
            scheme(HttpAuthScheme::Basic, "webhooks only: the password is the token, the name does not matter"),
        )
        .build()
}

/// The document with what holds for every path: its errors and the token it needs.
pub(super) fn complete(mut document: OpenApi) -> OpenApi {
    for (path, item) in &mut document.paths.paths {
        let operations = [
            ("GET", &mut item.get),
            ("PUT", &mut item.put),
            ("POST", &mut item.post),
            ("DELETE", &mut item.delete),
            ("PATCH", &mut item.patch),
        ];
        for (method, operation) in operations {
            let Some(operation) = operation else { continue };
            let access = access(method, path);
            let has_body = operation.request_body.is_some();
            for (status, _) in FAILURES.iter().filter(|(status, _)| may_fail(status, has_body, path, access)) {
                let failed = RefOr::Ref(Ref::from_response_name(*status));
                operation.responses.responses.entry((*status).to_owned()).or_insert(failed);
            }
            let token = || SecurityRequirement::new(TOKEN, Vec::<String>::new());
            operation.security = match access {
                Access::Open | Access::Login | Access::Page(_) => None,
                Access::Alerts => Some(vec![token(), SecurityRequirement::new(PASSWORD, Vec::<String>::new())]),
                Access::AtLeast(role) => {
                    let needs = format!("Needs the role {} or a higher one.", role.name());
                    operation.description = Some(match operation.description.take() {
                        Some(about) if !about.is_empty() => format!("{about}\n\n{needs}"),
                        Some(_) | None => needs,
                    });
                    Some(vec![token()])
                }
            };
        }
    }
    document
}

/// Whether a path can fail so.
fn may_fail(status: &str, has_body: bool, path: &str, access: Access) -> bool {
    match status {
        "401" | "403" => !matches!(access, Access::Open | Access::Login),
        "404" => path.contains('{'),
        "400" | "413" | "415" | "422" => has_body,
        // A sender of alerts is asked to come again, with 503: Alertmanager would not after a 429.
        "429" => !matches!(access, Access::Open | Access::Login | Access::Alerts),
        _ => true,
    }
}
