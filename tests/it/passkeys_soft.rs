//! A passkey of another implementation: client and authenticator of the crate `passkey`, which read our options and
//! write answers as browsers do.

use std::future::Future;
use std::pin::Pin;

use authkit::testing::TestKit;
use authkit::{Login, PasskeyFor, PasskeyOptions, PasskeyProof};
use authkit_tests::{Store, on_both};
use passkey::authenticator::{Authenticator, UiHint, UserCheck, UserValidationMethod};
use passkey::client::{Client, DefaultClientData};
use passkey::crypto::AvailableBackend;
use passkey::types::Passkey;
use passkey::types::ctap2::{Aaguid, Ctap2Error};
use passkey::types::webauthn::{CredentialCreationOptions, CredentialRequestOptions};
use serde_json::json;
use url::Url;

use crate::passkeys::ORIGIN;
use crate::support::{Texts as _, kit_with, meta};

/// Somebody who is there and shows a finger.
struct Owner;

type Boxed<'f, T> = Pin<Box<dyn Future<Output = T> + Send + 'f>>;

impl UserValidationMethod for Owner {
    type PasskeyItem = Passkey;

    fn check_user<'a, 'life0, 'async_trait>(
        &'life0 self,
        _hint: UiHint<'a, Passkey>,
        _presence: bool,
        _verification: bool,
    ) -> Boxed<'async_trait, Result<UserCheck, Ctap2Error>>
    where
        'a: 'async_trait,
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async { Ok(UserCheck { presence: true, verification: true }) })
    }

    fn is_presence_enabled(&self) -> bool {
        true
    }

    fn is_verification_enabled(&self) -> Option<bool> {
        Some(true)
    }
}

fn proof(begun: &PasskeyOptions, credential: serde_json::Value) -> PasskeyProof {
    PasskeyProof::new(begun.challenge_id.to_string(), credential)
}

on_both! {
    async fn another_implementation_registers_and_signs_in(store: Store) {
        let t: TestKit = kit_with(&store, |_| {}).await;
        let who = t.signed_in("ann@example.com").await.unwrap();
        let origin = Url::parse(ORIGIN).unwrap();
        let authenticator =
            Authenticator::new(Aaguid::new_empty(), None::<Passkey>, Owner, AvailableBackend);
        let mut client = Client::new(authenticator).allows_insecure_localhost(true);

        let begun = t.kit.passkeys().begin_registration(&who.auth, Some("Phone"), &meta()).await.unwrap();
        let request: CredentialCreationOptions =
            serde_json::from_value(json!({ "publicKey": begun.options })).unwrap();
        let made = client.register(&origin, request, DefaultClientData).await.unwrap();
        let made = serde_json::to_value(made).unwrap();
        let passkey =
            t.kit.passkeys().finish_registration(&who.auth, proof(&begun, made), &meta()).await.unwrap();
        assert!(passkey.backup_eligible && passkey.backed_up);
        assert_eq!(passkey.transports, ["hybrid", "internal"]);

        for _ in 0..2 {
            let begun = t.kit.passkeys().begin(PasskeyFor::SignIn, &meta()).await.unwrap();
            let request: CredentialRequestOptions =
                serde_json::from_value(json!({ "publicKey": begun.options })).unwrap();
            let used = client.authenticate(&origin, request, DefaultClientData).await.unwrap();
            let used = serde_json::to_value(used).unwrap();
            let login = t.kit.passkeys().login(proof(&begun, used), None, &meta()).await.unwrap();
            let Login::Complete(tokens) = login else { panic!("{login:?}") };
            let auth = t.kit.authenticate(tokens.access(), &meta()).await.unwrap();
            assert_eq!((auth.user_id(), auth.amr()), (who.user.id, &["swk", "user", "mfa"].map(String::from)[..]));
        }
    }
}
