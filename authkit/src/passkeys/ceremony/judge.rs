//! The judge: `webauthn-rs`, with what this library asks of keys.

use serde_json::{Value, json};
use webauthn_rs::prelude::{
    CredentialID, DiscoverableAuthentication, Passkey, PasskeyRegistration, PublicKeyCredential,
    RegisterPublicKeyCredential, Url, Webauthn, WebauthnBuilder, WebauthnError,
};

use super::{Asserted, Begun, Flaw, Holder, NewKey, credential_id, is_framed, transports};
use crate::config::Config;
use crate::crypto::strict::to_base64url;
use crate::error::{Error, Result};
use crate::passkeys::model::CHALLENGE_LIFE;
use crate::passkeys::store::Known;

pub(super) struct Judge {
    rp: Webauthn,
}

impl Judge {
    /// `None` where the settings name no domain.
    pub(super) fn new(config: &Config) -> Result<Option<Self>> {
        let Some(id) = config.webauthn_rp_id() else { return Ok(None) };
        let origins = config.webauthn_origins();
        let origins =
            origins.iter().map(|origin| Url::parse(origin)).collect::<std::result::Result<Vec<_>, _>>();
        let origins = origins.map_err(|e| {
            Error::config("WEBAUTHN_ORIGINS holds an origin that cannot be read").with_source(e)
        })?;
        let Some((first, others)) = origins.split_first() else { return Ok(None) };
        let wrong = |e: WebauthnError| {
            Error::config("WEBAUTHN_RP_ID and WEBAUTHN_ORIGINS do not fit together").with_source(e)
        };
        let mut builder = WebauthnBuilder::new(id, first)
            .map_err(wrong)?
            .rp_name(config.webauthn_rp_name().unwrap_or(id))
            .timeout(CHALLENGE_LIFE);
        for origin in others {
            builder = builder.append_allowed_origin(origin);
        }
        Ok(Some(Self { rp: builder.build().map_err(wrong)? }))
    }

    pub(super) fn begin_registration(&self, holder: Holder<'_>, existing: &[Known]) -> Result<Begun> {
        let exclude: Vec<CredentialID> = existing.iter().map(|known| known.credential_id.clone()).collect();
        // A key without a name to show cannot be chosen.
        let shown = if holder.name.is_empty() { holder.email } else { holder.name };
        let begun = self.rp.start_passkey_registration(holder.handle, holder.email, shown, Some(exclude));
        let (options, state) = begun.map_err(|e| failed("no options for a new passkey", e))?;
        let mut options = serde_json::to_value(options.public_key).map_err(written)?;
        // Discoverable, so that it can sign in without a name; the crate asks for the opposite.
        let selection = options.get_mut("authenticatorSelection");
        put(selection, "residentKey", json!("required"))?;
        put(options.get_mut("authenticatorSelection"), "requireResidentKey", json!(true))?;
        put(Some(&mut options), "excludeCredentials", descriptors(existing))?;
        if let Some(extensions) = options.get_mut("extensions").and_then(Value::as_object_mut) {
            // By which means the user was verified concerns nobody.
            extensions.remove("uvm");
        }
        Ok(Begun { options, state: serde_json::to_string(&state).map_err(written)? })
    }

    pub(super) fn finish_registration(
        &self,
        state: &str,
        credential: &Value,
    ) -> Result<std::result::Result<NewKey, Flaw>> {
        let state: PasskeyRegistration = serde_json::from_str(state).map_err(stored)?;
        let Some(id) = credential_id(credential) else { return Ok(Err(Flaw::MALFORMED)) };
        let Ok(answer) = serde_json::from_value::<RegisterPublicKeyCredential>(credential.clone()) else {
            return Ok(Err(Flaw::MALFORMED));
        };
        if is_framed(credential) {
            return Ok(Err(Flaw("origin")));
        }
        let key = match self.rp.finish_passkey_registration(&answer, &state) {
            Ok(key) => key,
            Err(error) => return Ok(Err(flaw(&error))),
        };
        // The id that counts is the one in the key's own data.
        if key.cred_id().as_slice() != id {
            return Ok(Err(Flaw::MALFORMED));
        }
        let state = serde_json::to_value(&key).map_err(written)?;
        let facts = Facts::of(&state)?;
        Ok(Ok(NewKey {
            credential_id: id,
            state: state.to_string(),
            sign_count: facts.sign_count,
            backup_eligible: facts.backup_eligible,
            backed_up: facts.backed_up,
            transports: transports(credential),
        }))
    }

    pub(super) fn begin_assertion(&self, allowed: &[Known]) -> Result<Begun> {
        // The crate's other ceremony keeps copies of the keys in its state: a key removed meanwhile would still be
        // taken. This one is told the key when its answer is judged.
        let (options, state) =
            self.rp.start_discoverable_authentication().map_err(|e| failed("no options for a passkey", e))?;
        let mut options = serde_json::to_value(options.public_key).map_err(written)?;
        put(Some(&mut options), "allowCredentials", descriptors(allowed))?;
        if let Some(members) = options.as_object_mut() {
            members.remove("extensions");
        }
        Ok(Begun { options, state: serde_json::to_string(&state).map_err(written)? })
    }

    pub(super) fn finish_assertion(
        &self,
        state: &str,
        key: &str,
        credential: &Value,
    ) -> Result<std::result::Result<Asserted, Flaw>> {
        let state: DiscoverableAuthentication = serde_json::from_str(state).map_err(stored)?;
        let mut key: Passkey = serde_json::from_str(key).map_err(stored)?;
        let Ok(answer) = serde_json::from_value::<PublicKeyCredential>(credential.clone()) else {
            return Ok(Err(Flaw::MALFORMED));
        };
        if is_framed(credential) {
            return Ok(Err(Flaw("origin")));
        }
        let judged = match self.rp.finish_discoverable_authentication_v2(&answer, state, &key) {
            Ok(judged) => judged,
            Err(error) => return Ok(Err(flaw(&error))),
        };
        if !judged.user_verified() {
            return Ok(Err(Flaw("not_verified")));
        }
        if key.update_credential(&judged).is_none() {
            return Ok(Err(Flaw::MALFORMED));
        }
        Ok(Ok(Asserted {
            state: serde_json::to_string(&key).map_err(written)?,
            sign_count: judged.counter(),
            backup_eligible: judged.backup_eligible(),
            backed_up: judged.backup_state(),
            user_handle: answer.get_user_unique_id().map(<[u8]>::to_vec),
        }))
    }
}

/// What stands in a key's state and is also kept beside it.
struct Facts {
    sign_count: u32,
    backup_eligible: bool,
    backed_up: bool,
}

impl Facts {
    fn of(state: &Value) -> Result<Self> {
        let fact = |name: &str| state.get("cred").and_then(|key| key.get(name));
        let count = fact("counter").and_then(Value::as_u64).and_then(|count| u32::try_from(count).ok());
        match (count, fact("backup_eligible"), fact("backup_state")) {
            (Some(sign_count), Some(Value::Bool(eligible)), Some(Value::Bool(backed_up))) => {
                Ok(Self { sign_count, backup_eligible: *eligible, backed_up: *backed_up })
            }
            _ => Err(Error::internal("a passkey's state has not the members that it should have")),
        }
    }
}

/// Sets a member of an object that the crate wrote.
fn put(object: Option<&mut Value>, name: &str, value: Value) -> Result<()> {
    let members = object.and_then(Value::as_object_mut);
    let members =
        members.ok_or_else(|| Error::internal("the options of a passkey are not what they were"))?;
    members.insert(name.to_owned(), value);
    Ok(())
}

/// Of type `PublicKeyCredentialDescriptorJSON`.
fn descriptors(keys: &[Known]) -> Value {
    let descriptor = |key: &Known| {
        let id = to_base64url(&key.credential_id);
        if key.transports.is_empty() {
            json!({ "type": "public-key", "id": id })
        } else {
            json!({ "type": "public-key", "id": id, "transports": key.transports })
        }
    };
    keys.iter().map(descriptor).collect()
}

fn flaw(error: &WebauthnError) -> Flaw {
    match error {
        WebauthnError::CredentialPossibleCompromise => Flaw::COUNTER,
        WebauthnError::MismatchedChallenge => Flaw("challenge"),
        WebauthnError::InvalidRPOrigin | WebauthnError::CredentialCrossOrigin => Flaw("origin"),
        WebauthnError::InvalidRPIDHash => Flaw("rp_id"),
        WebauthnError::InvalidClientDataType => Flaw("type"),
        WebauthnError::UserNotPresent => Flaw("not_present"),
        WebauthnError::UserNotVerified => Flaw("not_verified"),
        WebauthnError::AuthenticationFailure | WebauthnError::SignatureInvalid => Flaw("signature"),
        WebauthnError::CredentialBackupEligibilityInconsistent
        | WebauthnError::CredentialMayNotBeHardwareBound => Flaw("backup_flags"),
        WebauthnError::CredentialAlteredAlgFromRequest => Flaw("algorithm"),
        _ => Flaw::MALFORMED,
    }
}

fn failed(what: &'static str, error: WebauthnError) -> Error {
    Error::internal(what).with_source(error)
}

fn written(error: serde_json::Error) -> Error {
    Error::internal("the state of a passkey could not be written").with_source(error)
}

fn stored(error: serde_json::Error) -> Error {
    Error::internal("the stored state of a passkey cannot be read").with_source(error)
}
