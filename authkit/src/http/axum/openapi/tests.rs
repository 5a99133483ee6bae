use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;

fn document() -> Value {
    serde_json::to_value(openapi()).unwrap()
}

fn operations_of(document: &Value) -> Vec<&Value> {
    let paths = document["paths"].as_object().unwrap();
    paths.values().flat_map(|item| item.as_object().unwrap().values()).collect()
}

#[test]
fn it_is_openapi_3_1() {
    assert!(document()["openapi"].as_str().unwrap().starts_with("3.1."));
}

#[test]
fn every_operation_lists_its_errors_with_the_one_body() {
    let document = document();
    let operations = operations_of(&document);
    assert_eq!(operations.len(), ERRORS.len());
    for operation in operations {
        let id = operation["operationId"].as_str().unwrap();
        assert!(ERRORS.iter().any(|(name, _)| *name == id), "{id} has no list of errors");
        let secured = operation["security"].is_array();
        let responses = operation["responses"].as_object().unwrap();
        assert_eq!(responses.contains_key("401"), secured || ["login", "refresh"].contains(&id), "{id}");
        assert_eq!(responses.contains_key("415"), operation["requestBody"].is_object(), "{id}");
        for (status, response) in responses.iter().filter(|(status, _)| !status.starts_with('2')) {
            let schema = &response["content"]["application/json"]["schema"]["$ref"];
            assert_eq!(schema, "#/components/schemas/ErrorBody", "{id} {status}");
        }
    }
}

#[test]
fn bodies_take_nothing_that_is_not_named() {
    let document = document();
    let mut seen = 0;
    for operation in operations_of(&document) {
        let Some(schema) = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str()
        else {
            continue;
        };
        let name = schema.rsplit('/').next().unwrap();
        let body = &document["components"]["schemas"][name];
        // Some are one of two bodies.
        let choices = body["oneOf"].as_array().into_iter().flatten();
        let choices: Vec<&str> = choices.map(|choice| choice["$ref"].as_str().unwrap()).collect();
        let names = if choices.is_empty() { vec![schema] } else { choices };
        for name in names.iter().map(|name| name.rsplit('/').next().unwrap()) {
            assert_eq!(
                document["components"]["schemas"][name]["additionalProperties"],
                json!(false),
                "{name}"
            );
        }
        assert_eq!(operation["requestBody"]["required"], json!(true), "{name}");
        seen += 1;
    }
    assert_eq!(seen, 23);
}

#[test]
fn every_reference_leads_somewhere() {
    let document = document();
    let text = document.to_string();
    for name in text.split("#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(document["components"]["schemas"][name].is_object(), "{name}");
    }
}

#[test]
fn in_cookie_mode_refresh_and_logout_need_no_body() {
    let document = serde_json::to_value(openapi_for(TokenTransport::Cookie)).unwrap();
    for path in ["/auth/refresh", "/auth/logout"] {
        assert_ne!(document["paths"][path]["post"]["requestBody"]["required"], json!(true), "{path}");
    }
    assert_eq!(document["paths"]["/auth/login"]["post"]["requestBody"]["required"], json!(true));
}

fn members(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn optional_members_are_absent_not_null() {
    let schema = &document()["components"]["schemas"]["ProfileBody"];
    assert_eq!(schema["properties"]["name"]["type"], json!("string"));
    assert_eq!(schema["properties"]["profile"]["type"], json!("object"));
    assert!(schema.get("required").is_none());
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn schemas_match_what_is_sent() {
    let test = crate::testing::TestKit::in_memory().await.unwrap();
    let signed_in = test.signed_in("ada@example.com").await.unwrap();
    let session = test.kit.sessions().own(&signed_in.auth).await.unwrap().remove(0);
    let document = document();
    let id = crate::LockoutId::from_uuid(uuid::Uuid::from_u128(1));
    let lockout = crate::Lockout {
        id,
        kind: crate::LockKind::SecondFactor,
        user_id: None,
        failures: 1,
        locked_until: None,
        lock_count: 0,
        first_failure_at: None,
        last_failure_at: None,
    };
    let kinds: Vec<&str> = crate::LockKind::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(document["components"]["schemas"]["LockKind"]["enum"], json!(kinds));
    let passkey = crate::Passkey {
        id: crate::PasskeyId::from_uuid(uuid::Uuid::from_u128(1)),
        name: String::new(),
        backup_eligible: true,
        backed_up: true,
        transports: Vec::new(),
        created_at: test.kit.now(),
        last_used_at: None,
    };
    for (name, sent) in [
        ("User", json!(signed_in.user)),
        ("Session", json!(session)),
        ("Lockout", json!(lockout)),
        ("Passkey", json!(passkey)),
    ] {
        let schema = &document["components"]["schemas"][name];
        assert_eq!(members(&schema["properties"]), members(&sent), "{name}");
        let required: Vec<String> = serde_json::from_value(schema["required"].clone()).unwrap();
        assert_eq!(required.into_iter().collect::<BTreeSet<_>>(), members(&sent), "{name}");
    }
}
