use http::HeaderValue;
use serde_json::json;

use super::*;

#[derive(Debug)]
struct Login {
    email: String,
    _password: SecretString,
    note: Option<String>,
    device: Option<String>,
}

impl FromFields for Login {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            email: fields.string("email"),
            _password: fields.secret("password"),
            note: fields.optional_string("note"),
            device: fields.nullable_string("device"),
        }
    }
}

fn errors(text: &str) -> Value {
    let refusal = read::<Login>(text.as_bytes()).unwrap_err();
    assert_eq!(refusal.status(), if text.contains("u0000") { 422 } else { 400 });
    let (_, body) = refusal.body("", false);
    serde_json::from_slice::<Value>(&body).unwrap()["error"].take()
}

#[test]
fn a_body_of_known_members_is_read() {
    let login: Login = read(br#"{"password":"p","email":"e","device":null}"#).unwrap();
    assert_eq!((login.email.as_str(), login.note, login.device), ("e", None, None));
}

#[test]
fn a_nullable_string_takes_null_and_no_other_type() {
    struct Device(Option<String>);
    impl FromFields for Device {
        fn from_fields(fields: &mut Fields) -> Self {
            Self(fields.nullable_string("token"))
        }
    }
    let token = |text: &str| read::<Device>(text.as_bytes()).map(|device| device.0);
    assert_eq!(token("{}"), Ok(None));
    assert_eq!(token(r#"{"token":null}"#), Ok(None));
    assert_eq!(token(r#"{"token":"t"}"#), Ok(Some("t".into())));
    assert!(token(r#"{"token":1}"#).is_err());
}

#[test]
fn values_survive_unchanged() {
    let text = r#"{"a":[1,-2,1.5,true,null,"\u00e9\ud83d\ude00",{"b":{}}],"c":18446744073709551615}"#;
    assert_eq!(parse(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(text).unwrap());
}

#[test]
fn all_faults_come_at_once() {
    let found = errors(r#"{"email":1,"role":"admin","note":null,"a/b~c":0}"#)["details"]["errors"].take();
    let expected = json!([
        { "pointer": "/email", "code": "type", "message": "must be a string" },
        { "pointer": "/password", "code": "required", "message": "is missing" },
        { "pointer": "/note", "code": "type", "message": "must be a string" },
        { "pointer": "/a~1b~0c", "code": "unknown", "message": "is not known here" },
        { "pointer": "/role", "code": "unknown", "message": "is not known here" },
    ]);
    assert_eq!(found, expected);
}

#[test]
fn a_member_that_comes_twice_is_refused_at_any_depth() {
    for text in [r#"{"a":1,"a":1}"#, r#"{"a":[{"b":{"c":1,"c":2}}]}"#, r#"{"a":1,"\u0061":1}"#] {
        assert!(errors(text)["message"].as_str().unwrap().contains("twice"), "{text}");
    }
    assert!(parse(br#"{"a":{"b":1},"b":1}"#).is_ok());
}

#[test]
fn u0000_is_refused_in_values_and_names() {
    for text in [r#"{"email":"a\u0000"}"#, r#"{"a\u0000":1}"#, r#"{"a":[{"b":"\u0000"}]}"#] {
        assert!(errors(text)["message"].as_str().unwrap().contains("U+0000"), "{text}");
    }
}

#[test]
fn what_is_no_json_object_is_refused() {
    let deep = "[".repeat(100_000);
    for text in [
        "",
        " ",
        "{",
        "[]",
        "null",
        "\"a\"",
        "{\"a\":1}x",
        "{\"a\":1}{}",
        "{'a':1}",
        "{\"a\":1,}",
        "{\"a\":NaN}",
        "{\"a\":1e999}",
        "\u{feff}{}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\n\"}",
        "{\"a\":01}",
        &deep,
    ] {
        let body = errors(text);
        assert_eq!(body["code"], "INVALID_REQUEST", "{text:.20}");
        assert_eq!(body["details"], json!({}), "{text:.20}");
    }
    assert!(parse(b"{\"a\":\"\xff\"}").is_err());
}

#[test]
fn hostile_names_are_cut_and_counted() {
    let many: Map<String, Value> = (0..1000).map(|n| (format!("{n}{}", "x".repeat(500)), json!(0))).collect();
    let found = errors(&Value::Object(many).to_string());
    let listed = found["details"]["errors"].as_array().unwrap();
    assert_eq!(listed.len(), MAX_UNKNOWN + 2);
    assert!(listed.iter().all(|error| error["pointer"].as_str().unwrap().len() <= MAX_NAME + 1));
}

#[test]
fn only_plain_application_json_is_read() {
    let is = |types: &[&'static str]| {
        let mut headers = HeaderMap::new();
        for value in types {
            headers.append(CONTENT_TYPE, HeaderValue::from_static(value));
        }
        is_json(&headers)
    };
    assert!(is(&["application/json"]) && is(&["Application/JSON; charset=utf-8"]));
    for bad in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "application/problem+json",
        "",
        "text/plain; application/json",
        "application/json, text/plain",
    ] {
        assert!(!is(&[bad]), "{bad}");
    }
    assert!(!is(&[]) && !is(&["application/json", "application/json"]));
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    assert!(!is_json(&headers));
}
