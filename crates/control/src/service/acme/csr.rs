//! The CSR of an order: read, and held against it.

use sealock_acme::identifier::Identifier;
use sealock_acme::problem::{AcmeProblem, ErrorKind};
use sealock_acme::state::{Account, Order as AcmeOrder};
use sealock_authority::{Csr, parse_csr};
use sealock_core::SubjectName;

/// Reads a CSR in DER.
pub(super) fn read_csr(der: &[u8]) -> Result<Csr, AcmeProblem> {
    use sealock_authority::CsrError as E;
    let kind = |error: &E| match error {
        E::WeakRsa(_) | E::UnknownKey(_) => ErrorKind::BadPublicKey,
        _ => ErrorKind::BadCsr,
    };
    // PEM is for people: here it is DER (RFC 8555 §7.4).
    if der.first() != Some(&0x30) {
        return Err(AcmeProblem::new(ErrorKind::BadCsr, "the CSR is not DER"));
    }
    parse_csr(der).map_err(|error| {
        let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
        AcmeProblem::new(kind(&error), format!("{error}{hint}"))
    })
}

/// The CSR must ask for just the names of the order, and be for another key than the account's (RFC 8555 §7.4, §11.1).
pub(super) fn check_csr(
    csr: &Csr,
    order: &AcmeOrder,
    account: &Account,
) -> Result<(), AcmeProblem> {
    let refused = |text: String| Err(AcmeProblem::new(ErrorKind::BadCsr, text));
    if let Some(kind) = csr.ignored.first() {
        return refused(format!("the CSR asks for a name of the kind {kind}"));
    }
    let ordered: Vec<SubjectName> =
        order.identifiers.iter().map(Identifier::to_subject_name).collect();
    if let Some(name) = csr.names.iter().find(|name| !ordered.contains(name)) {
        return refused(format!("the CSR asks for {name}, which the order is not for"));
    }
    if let Some(name) = ordered.iter().find(|name| !csr.names.contains(name)) {
        return refused(format!("the CSR does not ask for {name}, which the order is for"));
    }
    if account.key.same_as_spki(&csr.public_key.to_spki_der()) {
        return Err(AcmeProblem::new(
            ErrorKind::BadCsr,
            "the CSR is for the account's own key: make another one",
        ));
    }
    Ok(())
}
